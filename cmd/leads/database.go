package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/localdb"
)

// answerTime is how long a database has to answer what a command asks of it.
const answerTime = 10 * time.Second

// database is the table and, for people, where it is.
type database struct {
	*dynamo.Table
	place string
	data  string // directory of the leads serve whose it is, if it is one's
}

func tableName() string { return cmp.Or(os.Getenv("LEADS_TABLE"), "leads") }

// openLocal returns the table of an engine that takes any credentials. The
// region matters to engines that keep the tables of each region apart.
func openLocal(endpoint string) database {
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}, dynamo.Configure)
	return at(client, endpoint)
}

// openEndpoint returns the table of the engine at DYNAMODB_ENDPOINT. Where
// nobody listens it says so at once: the client would try until its time is up.
func openEndpoint(ctx context.Context, endpoint string) (database, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return database{}, fmt.Errorf("DYNAMODB_ENDPOINT is %q: give an address such as http://127.0.0.1:8000", endpoint)
	}
	db := openLocal(endpoint)
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), u.Scheme)))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return database{}, db.explain(err)
	}
	if err == nil {
		conn.Close()
	}
	return db, nil
}

// openAWS returns the table on AWS, or wherever the caller's own configuration
// says that DynamoDB is, for want of an engine over data.
func openAWS(ctx context.Context, data string) (database, error) {
	const instead = "start leads serve for the keys of this machine, name its data directory with -data if it is another, or set DYNAMODB_ENDPOINT"
	settings, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	if err != nil {
		return database{}, fmt.Errorf("the configuration for AWS cannot be read: %w", err)
	}
	if settings.Region == "" {
		return database{}, fmt.Errorf("no engine is running over %s and no region of AWS is set: %s, or set AWS_REGION", data, instead)
	}
	if _, err := settings.Credentials.Retrieve(ctx); err != nil {
		return database{}, fmt.Errorf("no engine is running over %s and there are no credentials for AWS: %s, or log in (aws sts get-caller-identity must work)", data, instead)
	}
	client := dynamodb.NewFromConfig(settings, dynamo.Configure)
	return at(client, "AWS, "+settings.Region), nil
}

func at(client *dynamodb.Client, place string) database {
	if endpoint := client.Options().BaseEndpoint; endpoint != nil {
		place = *endpoint
	}
	name := tableName()
	return database{Table: dynamo.New(client, name), place: fmt.Sprintf("table %s (%s)", name, place)}
}

// openDatabase returns the database that all commands but serve work on, as their
// help says, and tells the user which that is: keys and leads look the same
// everywhere.
func openDatabase(ctx context.Context, data string) (database, error) {
	db, err := findDatabase(ctx, data)
	if err == nil {
		fmt.Fprintf(os.Stderr, "Using %s.\n", db.place)
	}
	return db, err
}

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

// explain makes a sentence of an error of the database.
func (db database) explain(err error) error {
	var absent *types.ResourceNotFoundException
	var refused smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted (%w)", context.Canceled)
	case errors.As(err, &absent) && db.data != "":
		return fmt.Errorf("there is no %s, where leads serve runs over %s: set LEADS_TABLE to the name of yours or, if yours is on AWS, end leads serve", db.place, db.data)
	case errors.As(err, &absent):
		return fmt.Errorf("there is no %s: set LEADS_TABLE to the name of yours", db.place)
	case errors.As(err, &refused) && refused.ErrorFault() == smithy.FaultClient:
		return fmt.Errorf("%s refuses (%s): %s", db.place, refused.ErrorCode(), refused.ErrorMessage())
	default:
		return fmt.Errorf("%s does not answer, see that it runs and can be reached: %w", db.place, cause(err))
	}
}

// cause returns what went wrong with a request, without what the SDK tells of
// its attempts.
func cause(err error) error {
	var request *smithyhttp.RequestSendError
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
