package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/localdb"
)

// endTime is how long requests under way have to be answered when the server
// is told to end.
const endTime = 5 * time.Second

func serve(flags *flag.FlagSet) func(context.Context, []string) error {
	addr := flags.String("addr", "127.0.0.1:3000", "listen on `HOST:PORT`")
	data := dataFlag(flags, "keep the data and a test key in the directory `DIR`, or nothing with "+localdb.Memory)

	return func(ctx context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(ctx, endings()...)
		defer stop()
		err := serveUntil(ctx, *addr, *data)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // told to end while it was starting
		}
		return err
	}
}

// endings are the signals that tell a command to end: Ctrl-C, the end of the
// machine and, unless nohup has it ignored, the end of the terminal.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// serveUntil serves the API until ctx is done.
func serveUntil(ctx context.Context, addr, data string) (err error) {
	// First, because it is the most likely to fail and the quickest.
	listener, err := listen(addr)
	if err != nil {
		return err
	}
	defer listener.Close()

	db, own, err := openForServing(ctx, data)
	if err != nil {
		return err
	}
	var ended <-chan struct{} // closed when our own engine has ended
	if own != nil {
		ended = own.Done()
		defer func() {
			if failure := own.Stop(); err == nil {
				err = failure
			}
		}()
	}

	key, err := prepare(ctx, db, data)
	if err != nil {
		return err
	}
	greet(listener.Addr(), db, key, data)

	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		// Hardly two megabytes are in use. They would be collected whenever there
		// are four: under load, several times a second.
		debug.SetGCPercent(400)
		// Under more than it can take there are thousands of requests at once.
		debug.SetMemoryLimit(160 << 20)
	}
	server := newServer(db)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ended:
		server.Close()
		return own.Err()
	case <-ctx.Done():
		return end(server)
	}
}

func listen(addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usage("-addr: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another process: end that one, or choose another address with -addr", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("the API cannot listen there, choose another address with -addr: %w", err)
	}
	return listener, nil
}

// openForServing returns the database at DYNAMODB_ENDPOINT or, where that is
// not set, that of an engine which it starts.
func openForServing(ctx context.Context, data string) (database, *localdb.Engine, error) {
	if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		db, err := openEndpoint(ctx, endpoint)
		return db, nil, err
	}
	own, err := localdb.Start(ctx, localdb.Options{Data: data, Log: os.Stderr})
	if err != nil {
		return database{}, nil, err
	}
	return openLocal(own.Endpoint()), own, nil
}

// prepare makes the table where it does not exist and returns a test key.
func prepare(ctx context.Context, db database, data string) (key string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := db.CreateTable(ctx); err != nil {
		return "", db.explain(err)
	}
	if data == localdb.Memory {
		return makeKey(ctx, db)
	}
	return keptKey(ctx, db, keyFile(data))
}

func keyFile(data string) string { return filepath.Join(data, "key") }

// keptKey returns the key in the file, so that it is the same at each start, or
// a new one that it puts there when the database knows no such key.
func keptKey(ctx context.Context, db database, file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("the test key cannot be read: %w", err)
	}
	key := strings.TrimSpace(string(text))
	_, err = apikey.NewAuthenticator(db, time.Now).Authenticate(ctx, key)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, apikey.ErrInvalid) {
		return "", db.explain(err)
	}
	if key, err = makeKey(ctx, db); err != nil {
		return "", err
	}
	if err := writePrivate(file, key+"\n"); err != nil {
		return "", fmt.Errorf("the test key cannot be kept, choose another directory with -data: %w", err)
	}
	return key, nil
}

// developer is whose leads the key of leads serve reaches.
var developer = lead.Tenant{Account: "dev", Mode: lead.Test}

func makeKey(ctx context.Context, db database) (string, error) {
	text, key := apikey.NewKey(developer, apikey.Read|apikey.Write, time.Now(), time.Time{})
	return text, db.explain(db.CreateKey(ctx, key))
}

// writePrivate writes a file that only its owner can read, in a directory that
// it makes where it does not exist.
func writePrivate(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	// A new file, lest an old one's mode stays.
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o600)
}

func greet(addr net.Addr, db database, key, data string) {
	kept := "kept in " + keyFile(data)
	if data == localdb.Memory {
		kept = "good until the server ends"
	}
	fmt.Printf(`The lead API answers on %[1]s.

Database  %[2]s
Test key  %[3]s
          of account %[4]s, %[5]s

Create a lead, then list all:

curl %[1]s/api/crm/lead \
  -H "Authorization: Bearer %[3]s" \
  -X POST \
  -H "Content-Type: application/json" \
  -d '{"lead_name":"Ada Lovelace","company_name":"Example Corp"}'

curl %[1]s/api/crm/lead \
  -H "Authorization: Bearer %[3]s"

Ctrl-C ends it.
`, "http://"+reachable(addr), db.place, key, developer.Account, kept)
}

// reachable returns the host and port at which this machine reaches a server
// that listens on addr.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
}

func newServer(db database) *http.Server {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	return &http.Server{
		Handler: api.New(api.Config{Leads: db, Keys: db, Log: log}).Handler(api.Routes()...),
		// OPTIONS * is answered like the rest, not by net/http itself.
		DisableGeneralOptionsHandler: true,
		// A client that is slower holds a connection for nothing.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      40 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
}

// end ends the server when it has answered what is under way, at most endTime
// from now.
func end(server *http.Server) error {
	fmt.Fprintln(os.Stderr, "Ending.")
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
		return errors.New("some requests were cut off, for they took too long")
	}
	return nil
}
