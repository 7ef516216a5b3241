package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/fakeaws"
	"overplane.dev/leads/test/localdbtest"
)

// TestProfileCABundleIsTrusted uses a database whose certificate only the CA bundle
// of the user's AWS profile trusts.
func TestProfileCABundleIsTrusted(t *testing.T) {
	engine, err := url.Parse(localdbtest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(engine))
	defer proxy.Close()
	profile := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profile, []byte("[default]\nregion = us-east-1\nca_bundle = "+fakeaws.Bundle(t, proxy)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": profile, "AWS_CA_BUNDLE": "", "AWS_PROFILE": "", "AWS_ENDPOINT_URL": proxy.URL,
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	} {
		t.Setenv(name, value)
	}
	ctx, cancel := context.WithTimeout(t.Context(), databaseTimeout)
	defer cancel()
	db, err := openAWS(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateTable(ctx); err != nil {
		t.Error(err)
	}
	if keys, err := db.ListKeys(ctx, "dev"); err != nil || len(keys) > 0 {
		t.Errorf("keys %v, %v", keys, err)
	}
}

// unknownHost fails all requests as if the host did not exist.
type unknownHost struct{}

func (unknownHost) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}
}

// TestExplainUnknownHost checks that the message names the cause without the SDK's
// report of its attempts.
func TestExplainUnknownHost(t *testing.T) {
	t.Setenv("LEADS_TABLE", "")
	options := dynamodb.Options{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, BaseEndpoint: aws.String("http://nowhere")}
	db := newDatabase(dynamodb.New(options, dynamo.Configure, func(o *dynamodb.Options) {
		o.HTTPClient = &http.Client{Transport: unknownHost{}}
	}))
	_, err := db.ListKeys(t.Context(), "dev")
	const want = "table leads (http://nowhere) does not answer, check that it runs and can be reached: lookup nowhere: no such host"
	if got := db.explainError(err); got == nil || got.Error() != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// failingDatabase answers all requests with this error of DynamoDB.
type failingDatabase struct{ code, message string }

func (f failingDatabase) RoundTrip(*http.Request) (*http.Response, error) {
	body := fmt.Sprintf(`{"__type":"com.amazon.coral.service#%s","message":%q}`, f.code, f.message)
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestExplainErrorsOfAWS(t *testing.T) {
	t.Setenv("LEADS_TABLE", "")
	const denied = "User: arn:aws:iam::1:user/a is not authorized to perform: dynamodb:Query on resource: arn:aws:dynamodb:us-east-1:1:table/leads"
	for _, test := range []struct{ code, message, want string }{
		{"AccessDeniedException", denied, "table leads (http://aws): your credentials lack a permission. Ask for it: " + denied},
		{"UnrecognizedClientException", "The security token included in the request is invalid.",
			"table leads (http://aws) does not accept your credentials (UnrecognizedClientException: The security token included in the request is invalid.): log in again, aws sts get-caller-identity must work"},
		{"ExpiredTokenException", "expired", "table leads (http://aws) does not accept your credentials (ExpiredTokenException: expired): log in again, aws sts get-caller-identity must work"},
		{"ValidationException", "One or more parameter values are not valid.", "table leads (http://aws) refuses the request (ValidationException): One or more parameter values are not valid."},
	} {
		t.Run(test.code, func(t *testing.T) {
			options := dynamodb.Options{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, BaseEndpoint: aws.String("http://aws")}
			db := newDatabase(dynamodb.New(options, dynamo.Configure, func(o *dynamodb.Options) {
				o.HTTPClient = &http.Client{Transport: failingDatabase{test.code, test.message}}
			}))
			_, err := db.ListKeys(t.Context(), "dev")
			if got := db.explainError(err); got == nil || got.Error() != test.want {
				t.Errorf("%v, want %s", got, test.want)
			}
			if test.code == "AccessDeniedException" && !strings.Contains(err.Error(), denied) {
				t.Errorf("a function logs %v, without the permission", err)
			}
		})
	}
}

// TestLocalDatabaseRefusesLateRequests creates a lead with a clock that is an hour
// late. The database must refuse the first attempt, as DynamoDB does: otherwise the
// lead would be counted in a window that is sealed.
func TestLocalDatabaseRefusesLateRequests(t *testing.T) {
	db := openLocal(localdbtest.Start(t))
	if err := db.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	created, _, err := db.Create(t.Context(), lead.Tenant{Account: "acme", Mode: lead.Test}, lead.Defaults(), lead.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(created.CreatedAt).Abs(); age > time.Minute {
		t.Errorf("the lead was created %v ago", age)
	}
}
