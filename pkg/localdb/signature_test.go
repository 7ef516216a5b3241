package localdb_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"

	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/test/localdbtest"
)

// TestSignatureChecker sends requests through a server whose clock differs from
// that of the client.
func TestSignatureChecker(t *testing.T) {
	target, err := url.Parse(localdbtest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	for skew, refused := range map[time.Duration]bool{
		0: false, 14 * time.Minute: false, -14 * time.Minute: false,
		16 * time.Minute: true, -16 * time.Minute: true, 48 * time.Hour: true,
	} {
		now := time.Now().Add(skew)
		proxy := &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: &localdb.SignatureChecker{Next: http.DefaultTransport, Now: func() time.Time { return now }},
		}
		server := httptest.NewServer(proxy)
		defer server.Close()
		client := dynamodb.New(dynamodb.Options{
			BaseEndpoint: &server.URL,
			Region:       "us-east-1",
			Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
			Retryer:      aws.NopRetryer{},
		})
		_, err := client.ListTables(context.Background(), &dynamodb.ListTablesInput{})
		var apiError smithy.APIError
		if got := errors.As(err, &apiError) && apiError.ErrorCode() == "InvalidSignatureException"; got != refused || err != nil && !got {
			t.Errorf("a clock that differs by %v: %v, want it refused: %v", skew, err, refused)
		}
		// The SDK corrects its own clock by the Date.
		if _, err := client.ListTables(context.Background(), &dynamodb.ListTablesInput{}); err != nil {
			t.Errorf("the second request: %v", err)
		}
	}
}
