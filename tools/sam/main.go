// Command sam runs the functions on this machine with the real SAM CLI: it
// builds them, and "sam local start-api" serves each in a container. The
// database is that of "leads serve", with the same data. "make sam" calls it.
//
//	go run ./tools/sam [-addr HOST:PORT] [COMMAND ARG...]
//
// Without a command it serves until Ctrl-C. With a command it uses an empty
// database, runs the command while the API answers, and exits. The command gets
// the address and the API keys of the contract scripts in its environment (see
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
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/localdb"
	"overplane.dev/leads/test/contract"
	"overplane.dev/leads/tools/internal/process"
	"overplane.dev/leads/tools/internal/samcli"
)

const (
	// dataDir and tableName are those of "leads serve".
	dataDir   = ".leads"
	tableName = "leads"

	// workDir takes the build and the log. .aws-sam/build, from which a real
	// deployment is made, stays as it is.
	workDir = ".aws-sam/local"

	// variablesFile contains environment variables of all functions.
	variablesFile = "events/environment.json"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "listen on `HOST:PORT`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	err := run(ctx, *addr, flag.Args())
	var exit *exec.ExitError
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "sam:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, command []string) error {
	if err := checkFree(addr); err != nil {
		return err
	}
	if err := checkDocker(ctx); err != nil {
		return err
	}
	listenHost, containerHost := hostAddresses(ctx)
	data := dataDir
	if len(command) > 0 {
		data = localdb.Memory
	}
	db, err := localdb.Start(ctx, localdb.Options{Data: data, Host: listenHost, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer db.Stop()
	endpoint := db.Endpoint()
	table := dynamo.New(dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       samcli.Region,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}, dynamo.Configure), tableName)
	if err := table.CreateTable(ctx); err != nil {
		return err
	}

	fmt.Fprintln(os.Stderr, "Building the functions.")
	template, err := samcli.Build(ctx, workDir)
	if err != nil {
		return err
	}
	options, err := ensureImage(ctx)
	if err != nil {
		return fmt.Errorf("the image %s can neither be pulled nor made: %w", image, err)
	}
	options = append(options, "--template", template, "--env-vars", variablesFile,
		"--parameter-overrides", "Architecture="+samcli.Architecture(), "DynamodbEndpoint="+strings.Replace(endpoint, listenHost, containerHost, 1))
	stop, err := startAPI(ctx, addr, options)
	if err != nil {
		return err
	}
	defer stop()

	if len(command) > 0 {
		return runCommand(ctx, command, addr, table)
	}
	key, err := testKey(ctx, table, filepath.Join(dataDir, "key"))
	if err != nil {
		return err
	}
	port, stopServices, err := startServices(listenHost)
	if err != nil {
		return err
	}
	defer stopServices()
	printUsage(addr, key, append(options, "ServicesEndpoint=http://"+net.JoinHostPort(containerHost, port)))
	<-ctx.Done()
	return nil
}

func checkFree(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("the API cannot listen on %s, choose another address with -addr: %w", addr, err)
	}
	return listener.Close()
}

// startAPI starts "sam local start-api". It tries three times: SAM gives each
// container a random port, and sometimes two containers the same.
func startAPI(ctx context.Context, addr string, options []string) (stop func(), err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	args := []string{"sam", "sam", "local", "start-api", "--host", host, "--port", port, "--warm-containers", "EAGER"}
	logFile := filepath.Join(workDir, "sam-local.log")
	for attempt := 1; ; attempt++ {
		fmt.Fprintf(os.Stderr, "Starting sam local. Its log and the logs of the functions are in %s.\n", logFile)
		cmd := exec.Command("tools/pytool", append(args, options...)...)
		cmd.Env = append(samcli.Env(), "AWS_MAX_ATTEMPTS=1") // SAM asks for the account id, in vain
		server, err := process.Start(ctx, cmd, "http://"+addr+"/", logFile, 2*time.Minute)
		if err == nil {
			return func() {
				server.Stop(os.Interrupt)
				removeContainers(workDir)
			}, nil
		}
		removeContainers(workDir)
		log, _ := os.ReadFile(logFile)
		if attempt == 3 || !strings.Contains(string(log), "port is already allocated") {
			return nil, err
		}
	}
}

// runCommand runs a command that tests the API.
func runCommand(ctx context.Context, command []string, addr string, table *dynamo.Table) error {
	keys, err := contract.CreateKeys(ctx, table)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "LEADS_URL=http://"+addr, "LEADS_DEVIATIONS=sam-local")
	for name, key := range keys {
		cmd.Env = append(cmd.Env, contract.KeyVariable(name)+"="+key)
	}
	return cmd.Run()
}

func printUsage(addr, key string, options []string) {
	fmt.Printf(`The lead API answers on http://%[1]s, served by sam local.

Test key  %[2]s

Create a lead, then list all:

curl http://%[1]s/api/crm/lead \
  -H "Authorization: Bearer %[2]s" \
  -X POST \
  -H "Content-Type: application/json" \
  -d '{"lead_name":"Ada Lovelace","company_name":"Example Corp"}'

curl http://%[1]s/api/crm/lead \
  -H "Authorization: Bearer %[2]s"

Send an event to a function, in another terminal (events/ contains one of each kind):

tools/pytool sam sam local invoke IngestLeads -e events/sqs.json %[3]s

After a change of the code, stop this with Ctrl-C and run it again.
`, addr, key, strings.Join(options, " "))
}
