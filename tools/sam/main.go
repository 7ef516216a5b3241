// Command sam runs the API as AWS would, on this machine: the real SAM CLI
// builds the functions and serves them with "sam local start-api", each in a
// container, over the database engine of "leads serve" and on the same data.
// "make sam" calls it.
//
//	go run ./tools/sam [-addr HOST:PORT] [-data DIR] [COMMAND ARG...]
//
// Without a command it serves until Ctrl-C. With one it keeps nothing, runs
// the command while the API answers, and ends with it. The command finds the
// address and the API keys of the contract's scripts in its environment (see
// TestScripts in test/contract).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/test/contract"
)

// tableName is that of "leads serve".
const tableName = "leads"

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "listen on `HOST:PORT`")
	data := flag.String("data", ".leads", "keep the data and a test key in the directory `DIR`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	err := serve(ctx, *addr, *data, flag.Args())
	var exit *exec.ExitError
	switch {
	case err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled):
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "sam:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, addr, data string, command []string) error {
	if err := checkFree(addr); err != nil {
		return err
	}
	docker, err := findDocker(ctx)
	if err != nil {
		return err
	}
	cli, err := findSAM(ctx, docker)
	if err != nil {
		return err
	}

	endpoint := os.Getenv("DYNAMODB_ENDPOINT")
	if endpoint == "" {
		if len(command) > 0 {
			data = localdb.Memory
		}
		db, err := localdb.Start(ctx, localdb.Options{Data: data, Host: docker.host, Log: os.Stderr})
		if err != nil {
			return err
		}
		defer db.Stop()
		endpoint = db.Endpoint()
	}
	table := dynamo.New(dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       region,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}, dynamo.Configure), tableName)
	if err := table.CreateTable(ctx); err != nil {
		return fmt.Errorf("the database engine at %s does not answer: %w", endpoint, err)
	}

	if err := cli.build(ctx); err != nil {
		return err
	}
	if len(command) > 0 {
		keys, err := contract.CreateKeys(ctx, table)
		if err != nil {
			return err
		}
		return cli.serve(ctx, addr, docker.fromInside(endpoint), func() error {
			return runCommand(ctx, command, addr, keys)
		})
	}
	key, err := keptKey(ctx, table, filepath.Join(data, "key"))
	if err != nil {
		return err
	}
	services, stop, err := serveServices(docker.host)
	if err != nil {
		return err
	}
	defer stop()
	return cli.serve(ctx, addr, docker.fromInside(endpoint), func() error {
		greet(addr, key, docker.fromInside(endpoint), docker.fromInside(services), cli)
		<-ctx.Done()
		return nil
	})
}

func checkFree(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken by another process: end that one, or choose another address with -addr", addr)
	}
	if err != nil {
		return fmt.Errorf("the API cannot listen there, choose another address with -addr: %w", err)
	}
	return listener.Close()
}

// runCommand runs a command that is to test the API.
func runCommand(ctx context.Context, command []string, addr string, keys map[string]string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "LEADS_URL=http://"+addr, "LEADS_DEVIATIONS=sam-local")
	for name, key := range keys {
		cmd.Env = append(cmd.Env, contract.KeyVariable(name)+"="+key)
	}
	return cmd.Run()
}

func greet(addr, key, endpoint, services string, cli *samCLI) {
	invoke := strings.Join(append([]string{cli.program, "local", "invoke"}, cli.options...), " ")
	fmt.Printf(`The lead API answers on http://%[1]s, served by sam local.

Database  table %[4]s (%[3]s)
Test key  %[2]s

Create a lead, then list all:

curl http://%[1]s/api/crm/lead \
  -H "Authorization: Bearer %[2]s" \
  -X POST \
  -H "Content-Type: application/json" \
  -d '{"lead_name":"Ada Lovelace","company_name":"Example Corp"}'

curl http://%[1]s/api/crm/lead \
  -H "Authorization: Bearer %[2]s"

Send an event to a function, in another terminal; events/ has one of each kind:

%[7]s IngestLeads -e events/sqs.json --env-vars events/environment.json \
  --parameter-overrides Architecture=%[5]s DynamodbEndpoint=%[3]s ServicesEndpoint=%[6]s

After a change run it again: the functions are built once. Ctrl-C ends it.
`, addr, key, endpoint, tableName, architecture(), services, invoke)
}
