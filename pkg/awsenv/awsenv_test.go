package awsenv_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/test/fakeaws"
)

// service is one behind TLS whose certificate nobody knows, and the file of it.
func service(t *testing.T, c *tls.Config) (url, bundle string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("spoke %s, want HTTP/1.1: the functions are built without HTTP/2", r.Proto)
		}
	}))
	s.TLS = c
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, fakeaws.Bundle(t, s)
}

func get(url string) error {
	resp, err := awsenv.HTTPClient().Get(url)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

func TestTheUsersBundleIsTrusted(t *testing.T) {
	url, bundle := service(t, nil)
	if get(url) == nil {
		t.Error("a certificate that no bundle has is trusted")
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	if err := get(url); err != nil {
		t.Error(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle+".absent")
	if get(url) == nil {
		t.Error("without the bundle that was named, something is trusted")
	}
}

func TestAnEndpointOfOneCurveIsReached(t *testing.T) {
	for _, curve := range []tls.CurveID{tls.X25519, tls.CurveP256} {
		url, bundle := service(t, &tls.Config{CurvePreferences: []tls.CurveID{curve}})
		t.Setenv("AWS_CA_BUNDLE", bundle)
		if err := get(url); err != nil {
			t.Errorf("an endpoint that knows only %v: %v", curve, err)
		}
	}
}

// TestRootsAreAmazons checks the file that goes into the functions' package.
func TestRootsAreAmazons(t *testing.T) {
	rest, err := os.ReadFile("amazon-roots.pem")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := root.CheckSignatureFrom(root); err != nil || !root.IsCA {
			t.Errorf("%s is no root: %v", root.Subject, err)
		}
		names = append(names, root.Subject.CommonName)
	}
	const want = "Amazon Root CA 1, Amazon Root CA 2, Amazon Root CA 3, Amazon Root CA 4, Starfield Services Root Certificate Authority - G2"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("the roots are %s, want %s", got, want)
	}
}

func TestTheNearestEndpointWins(t *testing.T) {
	for _, name := range []string{"AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL", "SERVICES_ENDPOINT"} {
		t.Setenv(name, "")
	}
	if e := awsenv.Endpoint("SQS"); e != nil {
		t.Errorf("the endpoint is %s where none is set", *e)
	}
	for _, name := range []string{"SERVICES_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"} {
		t.Setenv(name, "http://"+name)
		if e := awsenv.Endpoint("SQS"); e == nil || *e != "http://"+name {
			t.Errorf("the endpoint is not that of %s", name)
		}
	}
}
