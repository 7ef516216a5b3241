package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// testKey returns the key in the file of "leads serve". It makes a new key
// when the table does not contain that one.
func testKey(ctx context.Context, table *dynamo.Table, file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	key := strings.TrimSpace(string(text))
	_, err = apikey.NewAuthenticator(table, time.Now).Authenticate(ctx, key)
	if !errors.Is(err, apikey.ErrInvalid) {
		return key, err
	}
	key, record := apikey.NewKey(lead.Tenant{Account: "dev", Mode: lead.Test}, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := table.CreateKey(ctx, record); err != nil {
		return "", err
	}
	return key, os.WriteFile(file, []byte(key+"\n"), 0o600)
}
