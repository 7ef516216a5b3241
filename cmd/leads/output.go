package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"
)

// newJSONEncoder returns an encoder to standard output.
func newJSONEncoder(indent string) *json.Encoder {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	return encoder
}

func addJSONFlag(flags *flag.FlagSet) *bool {
	return flags.Bool("json", false, "print one JSON object per line")
}

// list prints things on standard output: with -json one JSON object for each as it
// is added, otherwise a table with aligned columns at the end.
type list struct {
	asJSON *bool
	header string
	table  *tabwriter.Writer // nil until the first row
}

func newList(flags *flag.FlagSet, header ...string) *list {
	return &list{asJSON: addJSONFlag(flags), header: strings.Join(header, "\t")}
}

// add prints a thing that has this JSON and these cells. It replaces control
// characters in cells, which could change the terminal.
func (l *list) add(object any, cells ...string) error {
	if *l.asJSON {
		return newJSONEncoder("").Encode(object)
	}
	if l.table == nil {
		l.table = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(l.table, l.header) // into memory
	}
	clean := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	for i := range cells {
		cells[i] = strings.Map(clean, cells[i])
	}
	_, err := fmt.Fprintln(l.table, strings.Join(cells, "\t"))
	return err
}

// end prints the table.
func (l *list) end() error {
	if l.table == nil {
		return nil
	}
	return l.table.Flush()
}
