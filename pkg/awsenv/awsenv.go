// Package awsenv reads what the environment of a Lambda function says to a
// client of AWS, without the SDK's config.LoadDefaultConfig: that looks for
// files, profiles and metadata services that no function has, and makes the
// first answer several times slower.
//
// See https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
// and https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html.
package awsenv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Region returns the function's region.
func Region() string { return os.Getenv("AWS_REGION") }

// Credentials returns those of the function's role, which Lambda keeps in the
// environment for as long as the process lives.
func Credentials() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
		}, nil
	})
}

// Endpoint returns where a service is, such as "SQS", where that is not AWS:
// AWS_ENDPOINT_URL_SQS, or else AWS_ENDPOINT_URL, or else SERVICES_ENDPOINT; nil
// where none is set. The last is for sam local, which knows only variables that
// stand in the template: an empty AWS_ENDPOINT_URL there would hide one that an
// emulator of AWS sets.
func Endpoint(service string) *string {
	for _, name := range []string{"AWS_ENDPOINT_URL_" + service, "AWS_ENDPOINT_URL", "SERVICES_ENDPOINT"} {
		if url := os.Getenv(name); url != "" {
			return &url
		}
	}
	return nil
}

// TLS returns how to speak TLS with AWS.
//
// The key exchange is X25519, with P-256 for endpoints that know nothing else
// (those of FIPS). The default also makes a post-quantum key (ML-KEM), which
// takes a tenth of the time to the first answer and which not every endpoint of
// AWS uses; list it here where it is worth that. A request is sent as one record:
// by default a new connection sends small ones, for browsers, with a write each.
//
// Trusted are the roots that SSL_CERT_FILE and SSL_CERT_DIR name, see
// [x509.SystemCertPool], or instead those in the file that AWS_CA_BUNDLE names,
// as with every SDK of AWS.
func TLS() *tls.Config {
	c := &tls.Config{
		CurvePreferences:            []tls.CurveID{tls.X25519, tls.CurveP256},
		DynamicRecordSizingDisabled: true,
	}
	if bundle := os.Getenv("AWS_CA_BUNDLE"); bundle != "" {
		c.RootCAs = x509.NewCertPool()
		if text, err := os.ReadFile(bundle); err != nil || !c.RootCAs.AppendCertsFromPEM(text) {
			// Nothing is trusted then, rather than what the user did not name.
			log.Printf("The file that AWS_CA_BUNDLE names holds no certificate that can be read: name another, or unset it. (%v)", err)
		}
	}
	return c
}

// HTTPClient returns a client that waits at most two seconds for a connection
// and ten for an answer to begin; how long an answer takes is not bounded.
func HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		TLSClientConfig:       TLS(),
		TLSHandshakeTimeout:   2 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
	}}
}

// Retryer returns one that tries five times with pauses from 20 ms on, with
// full jitter: the SDK's own first pause is a second.
func Retryer() aws.Retryer {
	return retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts = 5
		s.RateLimiter = ratelimit.None
		s.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return rand.N(20 * time.Millisecond << min(attempt, 6)), nil
		})
	})
}
