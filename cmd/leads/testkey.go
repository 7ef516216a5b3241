package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lead"
)

// testTenant is the tenant of the key that leads serve creates.
var testTenant = lead.Tenant{Account: "dev", Mode: lead.Test}

func keyFile(data string) string { return filepath.Join(data, "key") }

// loadTestKey returns the key in the file, so that each start has the same key.
// If the database does not know the key, loadTestKey writes a new one.
func loadTestKey(ctx context.Context, db database, file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the test key cannot be read: %w", err)
	}
	key := strings.TrimSpace(string(text))
	_, err = apikey.NewAuthenticator(db, time.Now).Authenticate(ctx, key)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, apikey.ErrInvalid) {
		return "", db.explainError(err)
	}
	if key, err = createTestKey(ctx, db); err != nil {
		return "", err
	}
	if err := writePrivate(file, key+"\n"); err != nil {
		return "", fmt.Errorf("the test key cannot be written, choose another directory with -data: %w", err)
	}
	return key, nil
}

func createTestKey(ctx context.Context, db database) (string, error) {
	text, key := apikey.NewKey(testTenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	return text, db.explainError(db.CreateKey(ctx, key))
}

// writePrivate writes a file that only its owner can read, and creates its
// directory if needed. It replaces an old file, which may have another mode.
func writePrivate(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o600)
}
