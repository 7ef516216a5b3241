module overplane.dev/leads

go 1.26
