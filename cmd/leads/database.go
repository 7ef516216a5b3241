package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"syscall"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/localdb"
)

// databaseTimeout limits the time of a command that sends a few requests.
const databaseTimeout = 10 * time.Second

// database is the table of leads and keys.
type database struct {
	*dynamo.Table
	name string // for messages, such as "table leads (AWS, eu-west-1)"
	data string // the data directory, if the database is that of leads serve

	journals string // the data directory, for the journals of imports
}

// withDatabase defines the flag -data and returns a function that finds the
// database and calls run. It prints which database that is, because keys and
// leads look the same in each.
func withDatabase(flags *flag.FlagSet, run func(ctx context.Context, db database, arg string) error) runFunc {
	data := flags.String("data", defaultData, "the data `DIR` of the running leads serve")
	return func(ctx context.Context, args []string) error {
		db, err := findDatabase(ctx, *data)
		if err != nil {
			return err
		}
		db.journals = *data
		fmt.Fprintf(os.Stderr, "Using %s.\n", db.name)
		if err := db.CheckFormat(ctx); err != nil {
			return db.explainError(err)
		}
		if len(args) == 0 {
			return run(ctx, db, "")
		}
		return run(ctx, db, args[0])
	}
}

// findDatabase returns the database at DYNAMODB_ENDPOINT, or that of the running
// leads serve, or that on AWS. It does not check that the table exists.
func findDatabase(ctx context.Context, data string) (database, error) {
	if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		return openEndpoint(ctx, endpoint)
	}
	endpoint, running, err := localdb.Running(data)
	if err != nil {
		return database{}, err
	}
	if running {
		db := openLocal(endpoint)
		db.data = data
		return db, nil
	}
	return openAWS(ctx, data)
}

// openLocal returns the table of an engine that accepts any credentials. Some
// engines keep separate tables for each region.
func openLocal(endpoint string) database {
	return newDatabase(dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}, dynamo.Configure, checkSignatures))
}

// checkSignatures refuses late requests as DynamoDB does. Engines do not, and the
// counters depend on it.
func checkSignatures(o *dynamodb.Options) {
	client := o.HTTPClient.(*awshttp.BuildableClient) // of dynamo.Configure
	o.HTTPClient = &http.Client{
		Transport: &localdb.SignatureChecker{Next: client.GetTransport()},
		Timeout:   client.GetTimeout(),
	}
}

// openEndpoint returns the table of the engine at DYNAMODB_ENDPOINT. It returns
// an error if nothing listens there; a request would be retried for ten seconds.
func openEndpoint(ctx context.Context, endpoint string) (database, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return database{}, fmt.Errorf("DYNAMODB_ENDPOINT is %q: give an address such as http://127.0.0.1:8000", endpoint)
	}
	db := openLocal(endpoint)
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), u.Scheme)))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return database{}, db.explainError(err)
	}
	if err == nil {
		conn.Close()
	}
	return db, nil
}

// openAWS returns the table that the user's ordinary configuration for AWS
// selects. data is the data directory in which no engine runs, for messages.
func openAWS(ctx context.Context, data string) (database, error) {
	const alternatives = "start leads serve to use the database of this machine, select its data directory with -data, set DYNAMODB_ENDPOINT"
	settings, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	if err != nil {
		return database{}, fmt.Errorf("the configuration for AWS cannot be read: %w", err)
	}
	if settings.Region == "" {
		return database{}, fmt.Errorf("no engine is running over %s and no region of AWS is set: %s, or set AWS_REGION", data, alternatives)
	}
	if _, err := settings.Credentials.Retrieve(ctx); err != nil {
		return database{}, fmt.Errorf("no engine is running over %s and there are no credentials for AWS: %s, or log in (aws sts get-caller-identity must work)", data, alternatives)
	}
	return newDatabase(dynamodb.NewFromConfig(settings, dynamo.Configure)), nil
}

// newDatabase returns the table that LEADS_TABLE names.
func newDatabase(client *dynamodb.Client) database {
	location := "AWS, " + client.Options().Region
	if endpoint := client.Options().BaseEndpoint; endpoint != nil {
		location = *endpoint
	}
	table := cmp.Or(os.Getenv("LEADS_TABLE"), "leads")
	db := dynamo.New(client, table)
	db.Filters = dynamo.FiltersFromEnv()
	return database{Table: db, name: fmt.Sprintf("table %s (%s)", table, location)}
}

// credentialCodes are the errors of credentials that are wrong or expired, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html.
var credentialCodes = []string{
	"UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
	"MissingAuthenticationTokenException", "ExpiredTokenException", "InvalidClientTokenId",
}

// explainError returns an error that tells the user what to do about an error of
// the database.
func (db database) explainError(err error) error {
	var notFound *types.ResourceNotFoundException
	var apiError smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*dynamo.FormatError)):
		return fmt.Errorf("%s: %w", db.name, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted (%w)", context.Canceled)
	case errors.As(err, &notFound) && db.data != "":
		return fmt.Errorf("there is no %s, where leads serve runs over %s: set LEADS_TABLE to the name of your table or, if it is on AWS, end leads serve", db.name, db.data)
	case errors.As(err, &notFound):
		return fmt.Errorf("there is no %s: set LEADS_TABLE to the name of your table", db.name)
	case errors.As(err, &apiError) && apiError.ErrorCode() == "AccessDeniedException":
		return fmt.Errorf("%s: your credentials lack a permission. Ask for it: %s", db.name, apiError.ErrorMessage())
	case errors.As(err, &apiError) && slices.Contains(credentialCodes, apiError.ErrorCode()):
		return fmt.Errorf("%s does not accept your credentials (%s: %s): log in again, aws sts get-caller-identity must work", db.name, apiError.ErrorCode(), apiError.ErrorMessage())
	case errors.As(err, &apiError) && !errors.As(err, new(*lead.UnavailableError)):
		return fmt.Errorf("%s refuses the request (%s): %s", db.name, apiError.ErrorCode(), apiError.ErrorMessage())
	}
	if urlError, ok := errors.AsType[*url.Error](err); ok {
		err = urlError.Err // without the SDK's report of its attempts
	}
	return fmt.Errorf("%s does not answer, check that it runs and can be reached: %w", db.name, err)
}
