package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/localdb"
)

const (
	// defaultData is the default data directory of leads serve.
	defaultData = ".leads"

	// shutdownTimeout is how long a stopping server waits for requests in flight.
	shutdownTimeout = 5 * time.Second
)

func serve(flags *flag.FlagSet) runFunc {
	addr := flags.String("addr", "127.0.0.1:3000", "listen on `HOST:PORT`")
	cors := flags.String("cors", "", "let web pages of `ORIGIN` use the API, as those of localhost")
	data := flags.String("data", defaultData, "the data `DIR`; "+localdb.Memory+" keeps nothing")

	return func(ctx context.Context, _ []string) error {
		if err := checkOrigin(*cors); err != nil {
			return err
		}
		err := runServer(ctx, *addr, *data, *cors)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // stopped during the start
		}
		return err
	}
}

// runServer serves the API until ctx is done or the engine ends.
func runServer(ctx context.Context, addr, data, cors string) (err error) {
	// The address comes first: it fails most often and takes the least time.
	listener, err := listen(addr)
	if err != nil {
		return err
	}
	defer listener.Close()

	db, engine, err := startDatabase(ctx, data)
	if err != nil {
		return err
	}
	var engineDone <-chan struct{}
	if engine != nil {
		engineDone = engine.Done()
		defer func() {
			if stopErr := engine.Stop(); err == nil {
				err = stopErr
			}
		}()
	}
	key, err := prepareDatabase(ctx, db, data)
	if err != nil {
		return err
	}
	if data != localdb.Memory { // for the commands that use the API
		if err := writePrivate(urlFile(data), "http://"+clientAddress(listener.Addr())+"\n"); err != nil {
			return err
		}
	}
	printGreeting(listener.Addr(), db, key, data)

	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		// The heap is so small (2 MB) that by default the garbage collector
		// would run several times a second under load.
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(160 << 20) // for thousands of requests at once
	}
	server := newServer(newHandler(db, cors))
	serveError := make(chan error, 1)
	go func() { serveError <- api.Serve(server, listener) }()
	select {
	case err := <-serveError:
		return err
	case <-engineDone:
		server.Close()
		return engine.Err()
	case <-ctx.Done():
		return shutDown(server)
	}
}

func listen(addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usageError("-addr: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is used by another process: end that process, or choose another address with -addr", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("the API cannot listen there, choose another address with -addr: %w", err)
	}
	return listener, nil
}

// startDatabase returns the database at DYNAMODB_ENDPOINT. If that is not set, it
// starts an engine over the data directory and returns it too.
func startDatabase(ctx context.Context, data string) (database, *localdb.Engine, error) {
	if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		db, err := openEndpoint(ctx, endpoint)
		return db, nil, err
	}
	engine, err := localdb.Start(ctx, localdb.Options{Data: data, Log: os.Stderr})
	if err != nil {
		return database{}, nil, err
	}
	return openLocal(engine.Endpoint()), engine, nil
}

// prepareDatabase creates the table if needed and returns a test key.
func prepareDatabase(ctx context.Context, db database, data string) (key string, err error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	if err := db.CreateTable(ctx); err != nil {
		return "", db.explainError(err)
	}
	if err := db.CheckFormat(ctx); err != nil {
		return "", db.explainError(err)
	}
	if data == localdb.Memory {
		return createTestKey(ctx, db)
	}
	return loadTestKey(ctx, db, keyFile(data))
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h,
		// The API answers OPTIONS * too, not net/http.
		DisableGeneralOptionsHandler: true,
		// These limits free the connections of slow clients.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      40 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
}

// shutDown stops the server after it has answered the requests in flight, or
// after shutdownTimeout.
func shutDown(server *http.Server) error {
	fmt.Fprintln(os.Stderr, "Stopping.")
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
		return errors.New("some requests took too long and were cut off")
	}
	return nil
}
