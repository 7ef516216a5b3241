// Command demo-events sends each kind of event to the product and shows what
// comes out: leads, their changes, and two records that can never become leads,
// with the reason. "make demo-events" calls it.
//
//	go run ./tools/demo-events [-here] [-outputs FILE]
//
// It goes through the stack of "make rehearse": the one that is there, or one
// that it has deployed where the emulator is installed. Where it is not, or with
// -here, the code of the functions runs in this process, over a database engine
// of its own, with queues and a bus in memory. With -outputs it plays the same
// through any deployed stack, whose outputs are in FILE as "sam list
// stack-outputs --output json" prints them; the environment says where AWS is.
// None of it needs an account but the last. It fails where something does not
// come out as it must, so it is a test too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/tools/internal/python"
	"overplane.dev/leads/tools/internal/rehearsal"
)

// A stage is where events go and what comes out.
type stage interface {
	// Send sends an event. A kind is one of those below.
	Send(ctx context.Context, kind, what string) (answer string, err error)
	// Leads returns the names of all leads of the account that events are for,
	// the oldest first.
	Leads(ctx context.Context) ([]string, error)
	// Changes returns the events that the bus passed on so far, DeadLetters the
	// records that were put aside.
	Changes(ctx context.Context) ([]change, error)
	DeadLetters(ctx context.Context) ([]letter, error)
}

// The kinds of events.
const (
	sqsMessage      = "an SQS message"
	snsNotification = "an SNS notification"
	busEvent        = "an EventBridge event"
	csvFile         = "a CSV file in S3"
	directCall      = "a call with two leads"
)

type change struct {
	Type   string `json:"detail-type"`
	Detail struct {
		EventID string `json:"event_id"`
		Lead    struct {
			Name string `json:"lead_name"`
		} `json:"lead"`
	} `json:"detail"`
}

type letter struct{ body, origin, code, reason string }

// script is what is sent. Two records of it are poisoned.
var script = []struct{ kind, what string }{
	{sqsMessage, `{"lead_name":"Ada by SQS","email_id":"ada@example.com"}`},
	{snsNotification, `{"lead_name":"Bob by SNS"}`},
	{busEvent, `{"lead_name":"Cy by EventBridge"}`},
	{csvFile, "lead_name,annual_revenue\n\"Dora, by S3\",1200.50\nEli by S3,a lot\nFay by S3,\n"},
	{directCall, `{"leads":[{"lead_name":"Gus by a call"},{"lead_name":"Hal by a call"}]}`},
	{sqsMessage, `{"lead_name":"Ira","email_id":"no address"}`},
}

var (
	wantLeads = []string{"Ada by SQS", "Bob by SNS", "Cy by EventBridge", "Dora, by S3", "Fay by S3", "Gus by a call", "Hal by a call"}
	wantDead  = []string{"Eli", "Ira"}
)

var tenant = lead.Tenant{Account: "main", Mode: lead.Test} // the template's own defaults

func main() {
	here := flag.Bool("here", false, "let the functions' code run in this process")
	outputs := flag.String("outputs", "", "play through the deployed stack whose outputs are in `FILE`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *here, *outputs); err != nil {
		fmt.Fprintln(os.Stderr, "demo-events:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, here bool, outputs string) error {
	if !here && outputs == "" {
		endpoint, found := rehearsal.Find(ctx)
		switch {
		case found:
			fmt.Printf("Through the stack of the rehearsal, on %s.\n\n", endpoint)
			outputs = rehearsal.Outputs
			for _, variable := range rehearsal.Environment(endpoint) {
				name, value, _ := strings.Cut(variable, "=")
				os.Setenv(name, value)
			}
		case python.SAM.Installed() && python.Ministack.Installed():
			fmt.Println("Through a stack on an emulator of AWS, which takes a minute; ARGS=-here goes without.")
			cmd := exec.Command("go", "run", "./tools/rehearse", "-events") // Ctrl-C reaches it too
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			return cmd.Run()
		default:
			fmt.Print("Through the functions' code in this process; \"make rehearse\" fetches an emulator of AWS.\n\n")
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("it did not come out within two minutes"))
	defer cancel()
	open := openHere
	if outputs != "" {
		open = func(ctx context.Context) (stage, func(), error) { return openStack(ctx, outputs) }
	}
	s, stop, err := open(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return play(ctx, s)
}

func play(ctx context.Context, s stage) error {
	before, err := s.Leads(ctx) // of an earlier time
	if err != nil {
		return err
	}
	for _, e := range script {
		fmt.Printf("-> %s\n   %s\n", e.kind, strings.ReplaceAll(strings.TrimSpace(e.what), "\n", "\n   "))
		answer, err := s.Send(ctx, e.kind, e.what)
		if err != nil {
			return fmt.Errorf("%s: %w", e.kind, err)
		}
		if answer != "" {
			fmt.Printf("   answer: %.120s…\n", answer)
		}
	}

	fmt.Println("\nThe leads:")
	var leads []string
	if err := until(ctx, func() (bool, error) {
		var err error
		leads, err = s.Leads(ctx)
		leads = leads[min(len(before), len(leads)):]
		return len(leads) >= len(wantLeads), err
	}); err != nil {
		return fmt.Errorf("the leads are %q: %w", leads, err)
	}
	slices.Sort(leads)
	for _, name := range leads {
		fmt.Println("  ", name)
	}

	fmt.Println("\nTheir changes on the bus:")
	seen := map[string]string{} // names by event id
	if err := until(ctx, func() (bool, error) {
		changes, err := s.Changes(ctx)
		for _, c := range changes {
			if seen[c.Detail.EventID] == "" {
				fmt.Println("  ", c.Type, c.Detail.Lead.Name)
			}
			seen[c.Detail.EventID] = c.Detail.Lead.Name
		}
		return len(seen) >= len(wantLeads), err
	}); err != nil {
		return fmt.Errorf("the bus told of %v: %w", seen, err)
	}

	fmt.Println("\nDead letters:")
	var dead []letter
	if err := until(ctx, func() (bool, error) {
		more, err := s.DeadLetters(ctx)
		dead = append(dead, more...)
		return len(dead) >= len(wantDead), err
	}); err != nil {
		return fmt.Errorf("%d dead letters, want %d: %w", len(dead), len(wantDead), err)
	}
	more, err := s.DeadLetters(ctx) // and not one more than that
	if err != nil {
		return err
	}
	dead = append(dead, more...)
	slices.SortFunc(dead, func(a, b letter) int { return strings.Compare(a.body, b.body) })
	for _, l := range dead {
		fmt.Printf("   %s\n      from %s\n      %s: %s\n", l.body, l.origin, l.code, l.reason)
	}
	return check(leads, seen, dead)
}

// check fails where something came out that should not have, or did not.
func check(leads []string, changes map[string]string, dead []letter) error {
	if !slices.Equal(leads, wantLeads) {
		return fmt.Errorf("the leads are %q, want %q", leads, wantLeads)
	}
	for _, name := range changes {
		if !slices.Contains(wantLeads, name) {
			return fmt.Errorf("the bus told of %q", name)
		}
	}
	if len(dead) != len(wantDead) {
		return fmt.Errorf("%d dead letters, want %d", len(dead), len(wantDead))
	}
	for i, l := range dead {
		if !strings.Contains(l.body, wantDead[i]) || l.reason == "" {
			return fmt.Errorf("the dead letter %+v is none of %q with its reason", l, wantDead)
		}
	}
	return nil
}

// until asks again and again, until done or the time is up.
func until(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
