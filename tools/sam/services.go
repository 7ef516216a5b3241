package main

import (
	"net"
	"net/http"
	"strings"

	"overplane.dev/leads/test/fakeaws"
)

// startServices starts a stand-in for SQS, S3 and EventBridge, so that each file
// in events/ can be sent to a function. It contains the file of events/s3.json.
func startServices(host string) (port string, stop func(), err error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", nil, err
	}
	cloud := fakeaws.New()
	const text = "lead_name,annual_revenue\n\"Lovelace, Ada\",1200.50\nBob,\n"
	cloud.Put(fakeaws.Object{
		Bucket: "leads-imports", Key: "in/March 2026.csv", Version: "096fKKXTRTtl3on89fVO.nfljtsv6qko", ETag: "0123456789abcdef0123456789abcdef",
		Content: strings.NewReader(text), Size: int64(len(text)),
	})
	server := &http.Server{Handler: cloud}
	go server.Serve(listener)
	_, port, err = net.SplitHostPort(listener.Addr().String())
	return port, func() { server.Close() }, err
}
