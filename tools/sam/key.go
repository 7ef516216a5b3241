package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
)

// keptKey returns the key in the file, which is that of "leads serve", or
// makes one there when the table knows no such key.
func keptKey(ctx context.Context, table *dynamo.Table, file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("the test key cannot be read: %w", err)
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
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err // an old file's mode would stay
	}
	return key, os.WriteFile(file, []byte(key+"\n"), 0o600)
}
