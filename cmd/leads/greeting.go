package main

import (
	"fmt"
	"net"

	"overplane.dev/leads/pkg/localdb"
)

// printGreeting prints how to use the running server.
func printGreeting(addr net.Addr, db database, key, data string) {
	validity := "kept in " + keyFile(data)
	if data == localdb.Memory {
		validity = "valid until the server ends"
	}
	fmt.Printf(`The lead API answers on %[1]s.

Database  %[2]s
Test key  %[3]s
          of account %[4]s, %[5]s

Documentation, and a form for each operation: %[1]s/docs#key=%[3]s

Create a lead, then list all:

curl %[1]s/api/crm/lead \
  -H "Authorization: Bearer %[3]s" \
  -X POST \
  -H "Content-Type: application/json" \
  -d '{"lead_name":"Ada Lovelace","company_name":"Example Corp"}'

curl %[1]s/api/crm/lead \
  -H "Authorization: Bearer %[3]s"

Press Ctrl-C to stop.
`, "http://"+clientAddress(addr), db.name, key, testTenant.Account, validity)
}

// clientAddress returns the host and port for clients on this machine of a server
// that listens on addr.
func clientAddress(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
}
