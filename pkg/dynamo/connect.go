package dynamo

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"runtime"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// connectAhead begins a client's first connection before there is a call. It
// returns with the handshake under way: while the database does its part of that,
// the trusted roots are read and the function gets ready for the call. Where it
// fails, the call connects as ever.
func connectAhead(client *dynamodb.Client) {
	o := client.Options()
	where := dynamodb.EndpointParameters{Region: &o.Region, Endpoint: o.BaseEndpoint}
	endpoint, err := o.EndpointResolverV2.ResolveEndpoint(context.Background(), where.WithDefaults())
	if err != nil || endpoint.URI.Scheme != "https" {
		return
	}
	transport := o.HTTPClient.(HTTPClient).Transport.(*http.Transport)
	if proxy, err := transport.Proxy(&http.Request{URL: &endpoint.URI}); proxy != nil || err != nil {
		return
	}
	config := transport.TLSClientConfig.Clone()
	config.ServerName = endpoint.URI.Hostname()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: attemptTimeout / 2}, Config: config}
	address := net.JoinHostPort(config.ServerName, cmp.Or(endpoint.URI.Port(), "443"))
	connected, err := dialer.NetDialer.Dial("tcp", address)
	if err != nil {
		return
	}
	first := make(chan net.Conn, 1) // closed after the one
	go func() {
		defer close(first)
		ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout/2)
		defer cancel()
		if c := tls.Client(connected, config); c.HandshakeContext(ctx) == nil {
			first <- c
		} else {
			connected.Close()
		}
	}()
	runtime.Gosched() // with one processor it would begin when we wait for it
	_, _ = x509.SystemCertPool()

	// All calls go to one host.
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if c := <-first; c != nil {
			return c, nil
		}
		return dialer.DialContext(ctx, network, address)
	}
}
