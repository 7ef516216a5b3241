// Command pytool runs a command of one of the repository's Python tools, which
// it fetches once.
//
//	go run ./tools/pytool sam|ministack|checkov|schemathesis COMMAND [ARG...]
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"overplane.dev/leads/tools/internal/python"
)

var tools = map[string]python.Tool{
	"sam":          python.SAM,
	"ministack":    python.Ministack,
	"checkov":      python.Checkov,
	"schemathesis": python.Schemathesis,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pytool:", err)
		os.Exit(1)
	}
}

// run becomes the command; it returns only when it cannot.
func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("say which tool and which command of it: go run ./tools/pytool sam cfn-lint template.yaml")
	}
	tool, ok := tools[args[0]]
	if !ok {
		return fmt.Errorf("there is no tool %q, but sam, ministack, checkov and schemathesis", args[0])
	}
	dir, err := tool.Dir(context.Background(), os.Stderr)
	if err != nil {
		return err
	}
	program := filepath.Join(dir, "bin", args[1])
	return syscall.Exec(program, append([]string{program}, args[2:]...), os.Environ())
}
