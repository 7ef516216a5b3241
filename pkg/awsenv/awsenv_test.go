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

// startServer starts a server with a certificate that no system trusts. It returns
// the server's URL and the name of a file with the certificate.
func startServer(t *testing.T, c *tls.Config) (url, bundle string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("the client used %s, want HTTP/1.1: the functions are built without HTTP/2", r.Proto)
		}
	}))
	s.TLS = c
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, fakeaws.Bundle(t, s)
}

func get(t *testing.T, url string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := awsenv.Config("SQS").HTTPClient.Do(request)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

func TestConfigTrustsCABundle(t *testing.T) {
	url, bundle := startServer(t, nil)
	if get(t, url) == nil {
		t.Error("the client trusts a certificate that is in no bundle")
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	if err := get(t, url); err != nil {
		t.Error(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle+".absent")
	if get(t, url) == nil {
		t.Error("the client trusts a certificate although the bundle does not exist")
	}
}

func TestConfigSupportsCurves(t *testing.T) {
	for _, curve := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256} {
		url, bundle := startServer(t, &tls.Config{CurvePreferences: []tls.CurveID{curve}})
		t.Setenv("AWS_CA_BUNDLE", bundle)
		if err := get(t, url); err != nil {
			t.Errorf("a server that supports only %v: %v", curve, err)
		}
	}
}

// TestRootCertificates checks the file that is deployed with the functions.
func TestRootCertificates(t *testing.T) {
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
			t.Errorf("%s is not a root certificate: %v", root.Subject, err)
		}
		names = append(names, root.Subject.CommonName)
	}
	const want = "Amazon Root CA 1, Amazon Root CA 2, Amazon Root CA 3, Amazon Root CA 4, Starfield Services Root Certificate Authority - G2"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("the root certificates are %s, want %s", got, want)
	}
}

func TestConfigReadsEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
	} {
		t.Setenv(name, value)
	}
	config := awsenv.Config("SQS")
	c, err := config.Credentials.Retrieve(t.Context())
	if err != nil || c.AccessKeyID != "key" || c.SecretAccessKey != "secret" || c.SessionToken != "token" {
		t.Errorf("credentials of %s, %v", c.AccessKeyID, err)
	}
	if config.Region != "eu-west-1" {
		t.Errorf("region %s, want eu-west-1", config.Region)
	}
}

func TestConfigPrefersSpecificEndpoint(t *testing.T) {
	for _, name := range []string{"AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL", "SERVICES_ENDPOINT"} {
		t.Setenv(name, "")
	}
	if e := awsenv.Config("SQS").BaseEndpoint; e != nil {
		t.Errorf("the endpoint is %s although no variable is set", *e)
	}
	for _, name := range []string{"SERVICES_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"} {
		t.Setenv(name, "http://"+name)
		if e := awsenv.Config("SQS").BaseEndpoint; e == nil || *e != "http://"+name {
			t.Errorf("the endpoint is not the one in %s", name)
		}
	}
}
