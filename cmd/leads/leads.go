package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"overplane.dev/leads/pkg/client"
	"overplane.dev/leads/pkg/lead"
)

// withClient defines the flag -data and returns a function that finds the API and
// calls run.
func withClient(flags *flag.FlagSet, run func(ctx context.Context, c *client.Client, args []string) error) runFunc {
	data := flags.String("data", defaultData, "the data `DIR` of the running leads serve")
	return func(ctx context.Context, args []string) error {
		c, err := findClient(*data)
		if err != nil {
			return err
		}
		err = run(ctx, c, args)
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("interrupted (%w)", ctx.Err())
		}
		if _, ok := errors.AsType[*url.Error](err); ok {
			return fmt.Errorf("the API does not answer, start leads serve, or set LEADS_URL and LEADS_KEY: %w", err)
		}
		return err
	}
}

// urlFile is the file with the address of the running leads serve.
func urlFile(data string) string { return filepath.Join(data, "url") }

// findClient returns a client of the API at LEADS_URL with the key LEADS_KEY, or of
// the running leads serve if neither is set.
func findClient(data string) (*client.Client, error) {
	address, key := os.Getenv("LEADS_URL"), os.Getenv("LEADS_KEY")
	if (address == "") != (key == "") {
		return nil, errors.New("set both LEADS_URL and LEADS_KEY, or neither to use the running leads serve")
	}
	if address == "" {
		addressText, addressErr := os.ReadFile(urlFile(data))
		keyText, keyErr := os.ReadFile(keyFile(data))
		if err := cmp.Or(addressErr, keyErr); err != nil {
			return nil, fmt.Errorf("no API is known, start leads serve, or set LEADS_URL and LEADS_KEY: %w", err)
		}
		address, key = strings.TrimSpace(string(addressText)), strings.TrimSpace(string(keyText))
	}
	return &client.Client{URL: address, Key: key}, nil
}

func getLead(flags *flag.FlagSet) runFunc {
	return withClient(flags, func(ctx context.Context, c *client.Client, args []string) error {
		return printLead(c.Get(ctx, args[0]))
	})
}

func createLead(flags *flag.FlagSet) runFunc { return sendFields(flags, (*client.Client).Create) }

func upsertLead(flags *flag.FlagSet) runFunc { return sendFields(flags, (*client.Client).Upsert) }

// sendFields returns a function that sends a lead with the fields in the arguments.
func sendFields(flags *flag.FlagSet, send func(*client.Client, context.Context, *client.Lead) (*client.Lead, error)) runFunc {
	return withClient(flags, func(ctx context.Context, c *client.Client, args []string) error {
		setFields, err := readFields(args)
		if err != nil {
			return err
		}
		var l client.Lead
		setFields(&l)
		return printLead(send(c, ctx, &l))
	})
}

func updateLead(flags *flag.FlagSet) runFunc {
	return withClient(flags, func(ctx context.Context, c *client.Client, args []string) error {
		setFields, err := readFields(args[1:])
		if err != nil {
			return err
		}
		return printLead(c.Update(ctx, args[0], setFields))
	})
}

func deleteLead(flags *flag.FlagSet) runFunc {
	return withClient(flags, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.Delete(ctx, args[0]); err != nil {
			return err
		}
		fmt.Printf("%s is deleted.\n", args[0])
		return nil
	})
}

// printLead prints a lead as JSON, without the fields that were never set, unless
// err is an error.
func printLead(l *client.Lead, err error) error {
	if err != nil {
		return err
	}
	return newJSONEncoder("  ").Encode(l)
}

func listLeads(flags *flag.FlagSet) runFunc {
	limit := flags.Uint("limit", 0, "list at most `N` leads; 0 lists all")
	out := newList(flags, "ID", "CREATED", "NAME", "COMPANY", "E-MAIL", "STATUS")
	return withClient(flags, func(ctx context.Context, c *client.Client, args []string) error {
		query := url.Values{}
		for _, arg := range args {
			name, value, ok := strings.Cut(arg, "=")
			if !ok {
				return usageError("%q is not PARAMETER=VALUE", arg)
			}
			query.Add(name, value)
		}
		n := uint(0)
		for l, err := range c.All(ctx, query) {
			if err != nil {
				return err
			}
			err = out.add(l, l.ID, l.CreatedAt.Format(time.RFC3339), client.Value(l.LeadName),
				client.Value(l.CompanyName), client.Value(l.EmailID), client.Value(l.Status))
			if err != nil {
				return err
			}
			if n++; n == *limit {
				break
			}
		}
		return out.end()
	})
}

// readFields returns a function that sets the fields in the arguments, or those of
// the JSON object on standard input.
func readFields(args []string) (setFields func(*client.Lead), err error) {
	if len(args) == 1 && args[0] == "-" {
		object, err := io.ReadAll(os.Stdin)
		if err != nil {
			return nil, err
		}
		return parseFields(object)
	}
	fields := map[string]any{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usageError("%q is not FIELD=VALUE, such as lead_name=Ada", arg)
		}
		if _, ok := fields[name]; ok {
			return nil, usageError("%s was given twice", name)
		}
		fields[name] = value
		if i := lead.FieldNamed(name); i >= 0 && json.Valid([]byte(value)) {
			if kind := lead.Fields[i].Kind; kind == lead.Boolean || kind == lead.Decimal {
				fields[name] = json.RawMessage(value)
			}
		}
	}
	object, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if setFields, err = parseFields(object); err != nil {
		return nil, usageError("%w", err)
	}
	return setFields, nil
}

// parseFields returns a function that sets the fields in a JSON object. It checks
// the object as the API does, because encoding/json ignores unknown fields.
func parseFields(object []byte) (setFields func(*client.Lead), err error) {
	if _, err := lead.ParseChanges(object); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(object, new(client.Lead)); err != nil {
		return nil, err
	}
	return func(l *client.Lead) { json.Unmarshal(object, l) }, nil
}
