package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"overplane.dev/leads/tools/internal/rehearsal"
)

// allowBatches lets the functions of the built template send several messages in
// one request. In AWS the right to send one is enough (SendMessageBatch is no
// action of a policy); the emulator asks for another.
func allowBatches() error {
	name := filepath.Join(".aws-sam", "build", "template.yaml")
	template, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, bytes.ReplaceAll(template, []byte("sqs:SendMessage\n"), []byte("sqs:SendMessage*\n")), 0o644)
}

// playEvents sends every kind of event and checks what comes out.
func (r *rehearsed) playEvents(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./tools/demo-events", "-outputs", rehearsal.Outputs)
	cmd.Env = r.env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
