package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/test/lambdaruntime"
)

const (
	empty    = "empty"
	smallest = "smallest"
	ordinary = "ordinary"
	peers    = "tools/bench/cold/peers"
)

// A subject is a function that is measured.
type subject struct {
	name     string
	programs []string // the same in several places of the disk
	env      []string
	arm64    int64 // bytes of the program for AWS's own processor
	events   events
	starts   []start
}

// places is how many copies of a program are started in turn: where one lies on
// the disk can make a tenth of a start.
const places = 16

// A start is what was measured of one process.
type start struct {
	init, first time.Duration
	cpu         time.Duration // of both
	firstCPU    time.Duration
	warm        []time.Duration
	memory      int64 // most, in bytes
}

// build builds all functions with the rule that "sam build" calls, and the
// ordinary one with go build alone.
func build(ctx context.Context, dir string) ([]*subject, error) {
	folders, err := os.ReadDir("functions")
	if err != nil {
		return nil, err
	}
	b := builder{ctx, dir}
	all := []*subject{{name: empty}, {name: smallest}}
	for _, peer := range all {
		if err := b.make(peer, peers); err != nil {
			return nil, err
		}
	}
	plain := &subject{name: ordinary}
	if err := b.plain(plain); err != nil {
		return nil, err
	}
	all = append(all, plain)
	for _, folder := range folders {
		s := &subject{name: folder.Name()}
		if err := b.make(s, "functions"); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// enter prepares a function for its starts in a world. shipped is the environment
// of all but the ordinary one.
func (s *subject) enter(ctx context.Context, w *world, shipped []string) (err error) {
	s.starts, s.env = nil, shipped
	if s.name == ordinary {
		s.env = append([]string{"SSL_CERT_FILE=" + w.usual}, common(w)...)
	}
	s.events, err = w.events(ctx, s.name)
	return err
}

type builder struct {
	ctx context.Context
	dir string
}

// make builds a function for this machine and for arm64.
func (b builder) make(s *subject, folder string) error {
	for _, processor := range []string{runtime.GOARCH, "arm64"} {
		// As sam build has it: it writes down the processor.
		root := filepath.Join(b.dir, processor)
		out := filepath.Join(root, "build", s.name)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		name := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[processor]
		if err := os.WriteFile(filepath.Join(root, "build.toml"), []byte(`architecture = "`+name+`"`), 0o644); err != nil {
			return err
		}
		if err := b.run(nil, "make", "build-"+s.name, "functions="+folder, "ARTIFACTS_DIR="+out); err != nil {
			return err
		}
		program := filepath.Join(out, "bootstrap")
		if processor == runtime.GOARCH {
			if err := s.spread(program); err != nil {
				return err
			}
		}
		if processor == "arm64" {
			info, err := os.Stat(program)
			if err != nil {
				return err
			}
			s.arm64 = info.Size()
		}
	}
	return nil
}

func (b builder) plain(s *subject) error {
	program := filepath.Join(b.dir, s.name)
	arm64 := program + "-arm64"
	if err := b.run([]string{"CGO_ENABLED=0", "GOOS=linux"}, "go", "build", "-o", program, "./"+peers+"/"+s.name); err != nil {
		return err
	}
	if err := s.spread(program); err != nil {
		return err
	}
	if err := b.run([]string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"}, "go", "build", "-o", arm64, "./"+peers+"/"+s.name); err != nil {
		return err
	}
	info, err := os.Stat(arm64)
	if err == nil {
		s.arm64 = info.Size()
	}
	return err
}

// spread copies a program to all places.
func (s *subject) spread(program string) error {
	content, err := os.ReadFile(program)
	for place := range places {
		s.programs = append(s.programs, fmt.Sprintf("%s-%d", program, place))
		err = errors.Join(err, os.WriteFile(s.programs[place], content, 0o700))
	}
	return err
}

func (b builder) run(env []string, name string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, output)
	}
	return nil
}

// environment returns that of a function in template.yaml, with this world's
// own certificates beside the package's.
func environment(w *world) ([]string, error) {
	text, err := os.ReadFile("template.yaml")
	if err != nil {
		return nil, err
	}
	var template struct {
		Globals struct {
			Function struct {
				Environment struct {
					Variables map[string]yaml.Node `yaml:"Variables"`
				} `yaml:"Environment"`
			} `yaml:"Function"`
		} `yaml:"Globals"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		return nil, err
	}
	env := common(w)
	for name, value := range template.Globals.Function.Environment.Variables {
		switch {
		case name == "SSL_CERT_FILE":
			env = append(env, name+"="+w.shipped)
		case value.Tag == "!!str":
			env = append(env, name+"="+value.Value)
		}
	}
	return env, nil
}

// common is the environment of every function.
func common(w *world) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + w.endpoint, "AWS_ENDPOINT_URL_EVENTBRIDGE=" + w.bus, "AWS_REGION=eu-west-1", "LEADS_TABLE=" + tableName,
		"AWS_ACCESS_KEY_ID=cold", "AWS_SECRET_ACCESS_KEY=cold", "AWS_SESSION_TOKEN=" + strings.Repeat("cold", 200),
		"TENANT=" + w.tenant.Account + "/" + string(w.tenant.Mode), // of the peers
		"LEADS_ACCOUNT=" + w.tenant.Account, "LEADS_MODE=" + string(w.tenant.Mode), "LEADS_BUS=leads",
		"LEADS_QUEUE_URL=" + w.endpoint + "/queue", "LEADS_DEAD_LETTERS_URL=" + w.endpoint + "/letters.fifo",
	}
}

// start starts the function, sends it one event and then n more, and keeps what
// it measured.
func (s *subject) start(ctx context.Context, w *world, limit *limit, n int) error {
	var sent []event
	for range n + 1 {
		e, err := s.events(ctx)
		if err != nil {
			return err
		}
		sent = append(sent, e)
	}
	program := s.programs[len(s.starts)%places]
	if err := dropPages(program); err != nil {
		return err
	}
	var said bytes.Buffer
	f, err := lambdaruntime.Start(lambdaruntime.Options{Command: []string{program}, Env: s.env, Log: &said})
	if err != nil {
		return err
	}
	defer f.Stop()
	var m start
	if m.init, err = f.Ready(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, said.Bytes())
	}
	if err := limit.add(f.PID()); err != nil {
		return err
	}
	before, err := cpuTime(f.PID())
	if err != nil {
		return err
	}
	for i, e := range sent {
		began := time.Now()
		answer, err := f.Invoke(ctx, fmt.Sprint(i), e.payload)
		took := time.Since(began)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, said.Bytes())
		}
		if err := e.check(answer); err != nil {
			return fmt.Errorf("%w\n%s", err, said.Bytes())
		}
		if i > 0 {
			m.warm = append(m.warm, took)
			continue
		}
		m.first = took
		if m.cpu, err = cpuTime(f.PID()); err != nil {
			return err
		}
		m.firstCPU = m.cpu - before
	}
	if m.memory, err = peakMemory(f.PID()); err != nil {
		return err
	}
	s.starts = append(s.starts, m)
	return nil
}

// events makes the next event for a function.
type events func(context.Context) (event, error)

// An event is what a function gets, and how its answer has to be.
type event struct {
	payload []byte
	check   func(answer []byte) error
}

// request is an event of an HTTP API.
func (w *world) request(method, path, id, body string) []byte {
	payload, err := json.Marshal(map[string]any{
		"version": "2.0", "routeKey": method + " " + path, "rawPath": path, "rawQueryString": "", "body": body,
		"headers": map[string]string{
			"accept": "*/*", "authorization": "Bearer " + w.key, "content-type": "application/json", "content-length": fmt.Sprint(len(body)),
			"host": "abcdefghij.execute-api.eu-west-1.amazonaws.com", "user-agent": "curl/8.5.0", "x-amzn-trace-id": "Root=1-65a4f0c8-0123456789abcdef01234567",
			"x-forwarded-for": "192.0.2.1", "x-forwarded-port": "443", "x-forwarded-proto": "https",
		},
		"pathParameters": map[string]string{"id": id},
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "abcdefghij", "domainName": "abcdefghij.execute-api.eu-west-1.amazonaws.com",
			"stage": "$default", "time": "15/Jan/2024:09:30:00 +0000", "timeEpoch": 1705311000000,
			"http": map[string]string{"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "curl/8.5.0"},
		},
	})
	if err != nil {
		panic(err) // of strings and numbers there is none
	}
	return payload
}

// answers returns a check of an HTTP answer.
func answers(status int, parts ...string) func([]byte) error {
	return func(got []byte) error {
		var a struct {
			StatusCode int
			Body       string
		}
		if err := json.Unmarshal(got, &a); err != nil {
			return fmt.Errorf("answered %s: %w", got, err)
		}
		for _, part := range parts {
			if !strings.Contains(a.Body, part) {
				return fmt.Errorf("answered %s, which lacks %s", got, part)
			}
		}
		if a.StatusCode != status {
			return fmt.Errorf("answered %s, want status %d", got, status)
		}
		return nil
	}
}
