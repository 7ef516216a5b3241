// Package awsenv configures clients of AWS services from the environment
// variables of a Lambda function. The SDK's config.LoadDefaultConfig also looks
// for files, profiles and metadata services. No function has those, and looking
// for them makes the first response several times slower.
//
// See https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
// and https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html.
package awsenv

import (
	"crypto/x509"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Config returns the configuration of a client for a service such as "SQS".
//
// The endpoint is the first of AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL and
// SERVICES_ENDPOINT that is set, otherwise that of AWS. SERVICES_ENDPOINT is for
// sam local, which passes only variables that are in the template: an empty
// AWS_ENDPOINT_URL there would hide one that an emulator of AWS sets.
//
// A client makes at most five attempts. It waits two seconds for a connection
// and ten for a response to begin. It trusts the certificates in the file that
// AWS_CA_BUNDLE names, or those of the system (see [x509.SystemCertPool]).
func Config(service string) aws.Config {
	config := aws.Config{
		Region: os.Getenv("AWS_REGION"),
		Credentials: credentials.NewStaticCredentialsProvider(
			os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")),
		RetryMaxAttempts: 5,
		HTTPClient: awshttp.NewBuildableClient().
			WithDialerOptions(func(d *net.Dialer) { d.Timeout = 2 * time.Second }).
			WithTransportOptions(configureTransport),
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_" + service, "AWS_ENDPOINT_URL", "SERVICES_ENDPOINT"} {
		if url := os.Getenv(name); url != "" && config.BaseEndpoint == nil {
			config.BaseEndpoint = &url
		}
	}
	return config
}

// versionsPerEpoch is more than a lead ever has.
const versionsPerEpoch = 1_000_000_000

// VersionOffset returns what is added to the versions of all leads: a thousand
// million for each time that the table was restored, which LEADS_EPOCH says. After
// a restore, leads are at earlier versions and reach later ones with other content.
// With the offset, no version occurs twice, in entity tags and in events.
func VersionOffset() int64 {
	epoch, _ := strconv.ParseInt(os.Getenv("LEADS_EPOCH"), 10, 64) // a number in template.yaml
	return epoch * versionsPerEpoch
}

func configureTransport(t *http.Transport) {
	t.TLSHandshakeTimeout = 2 * time.Second
	t.ResponseHeaderTimeout = 10 * time.Second
	if file := os.Getenv("AWS_CA_BUNDLE"); file != "" {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if pem, err := os.ReadFile(file); err != nil || !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			// Trust no certificate rather than one that the user did not name.
			log.Printf("The file that AWS_CA_BUNDLE names has no readable certificate: name another file, or unset the variable. (%v)", err)
		}
	}
}
