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
// fails, after a second at most, the call connects as ever.
func connectAhead(client *dynamodb.Client) {
	o := client.Options()
	where := dynamodb.EndpointParameters{Region: &o.Region, Endpoint: o.BaseEndpoint}
	endpoint, err := o.EndpointResolverV2.ResolveEndpoint(context.Background(), where.WithDefaults())
	if err != nil || endpoint.URI.Scheme != "https" {
		return
	}
	transport := o.HTTPClient.(*HTTPClient).Transport.(*http.Transport)
	if proxy, err := transport.Proxy(&http.Request{URL: &endpoint.URI}); proxy != nil || err != nil {
		return
	}
	config := transport.TLSClientConfig.Clone()
	config.ServerName = endpoint.URI.Hostname() // all calls go to one host
	address := net.JoinHostPort(config.ServerName, cmp.Or(endpoint.URI.Port(), "443"))
	connected, err := transport.DialContext(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	shake := func(ctx context.Context, connected net.Conn) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, transport.TLSHandshakeTimeout)
		defer cancel()
		c := tls.Client(connected, config)
		if err := c.HandshakeContext(ctx); err != nil {
			connected.Close()
			return nil, err
		}
		return c, nil
	}
	first := make(chan net.Conn, 1) // closed after the one
	go func() {
		defer close(first)
		if c, err := shake(context.Background(), connected); err == nil {
			first <- c
		}
	}()
	runtime.Gosched() // with one processor it would begin when we wait for it
	_, _ = x509.SystemCertPool()

	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if c := <-first; c != nil {
			return c, nil
		}
		connected, err := transport.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return shake(ctx, connected)
	}
}
