package dynamo_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/dynamotest"
	"overplane.dev/leads/test/fakeaws"
)

// secure puts an engine with a table behind a door with TLS and sets the
// environment to it. The door hangs up on the first so many connections.
func secure(t *testing.T, hangUp int32) *door {
	t.Helper()
	client, _ := dynamotest.Start(t)
	engine, err := url.Parse(*client.Options().BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(engine))
	d := &door{Listener: s.Listener, hangUp: hangUp}
	s.Listener = d
	s.TLS = &tls.Config{VerifyConnection: func(tls.ConnectionState) error { d.handshakes.Add(1); return nil }}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": s.URL, "AWS_CA_BUNDLE": fakeaws.Bundle(t, s), "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "LEADS_TABLE": dynamotest.TableName, "DYNAMODB_ENDPOINT": "",
	} {
		t.Setenv(name, value)
	}
	return d
}

type door struct {
	net.Listener
	hangUp               int32
	accepted, handshakes atomic.Int32
}

func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err == nil && d.accepted.Add(1) <= d.hangUp {
		c.Close()
	}
	return c, err
}

func TestOpenConnectsAhead(t *testing.T) {
	d := secure(t, 0)
	table := dynamo.Open()
	for deadline := time.Now().Add(10 * time.Second); d.handshakes.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no handshake without a call after 10 seconds")
		}
	}
	for range 3 {
		if _, err := table.FindKey(t.Context(), "nobody"); !errors.Is(err, apikey.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if n := d.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestCallConnectsWhereOpenCouldNot(t *testing.T) {
	d := secure(t, 1)
	if _, err := dynamo.Open().FindKey(t.Context(), "nobody"); !errors.Is(err, apikey.ErrNotFound) {
		t.Fatal(err)
	}
	if n := d.accepted.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}
