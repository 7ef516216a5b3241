// Command leads is the developer's tool for the lead API: it runs the API on this
// machine, reads and changes leads, manages API keys on every stage, and imports
// and exports leads. Run leads help for its commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
)

// A command is one command of leads. It defines its flags with package flag.
// Package cli parses them, prints help and completes commands in shells.
type command struct {
	name     string // one or two words
	args     string // the arguments: those in [] may be left out, and ... may be repeated
	summary  string
	required []string // names of the flags that must be set
	// setup defines the flags and returns the function that runs the command.
	setup func(*flag.FlagSet) runFunc
}

// A runFunc runs a command with its arguments.
type runFunc = func(ctx context.Context, args []string) error

var commands = []command{
	{"serve", "", "Run the API on this machine", nil, serve},
	{"get", "ID", "Print a lead as JSON", nil, getLead},
	{"list", "[PARAMETER=VALUE...]", "List leads, all or those with a PARAMETER such as status=Open", nil, listLeads},
	{"create", "FIELD=VALUE...|-", "Create a lead; - reads a JSON object from standard input", nil, createLead},
	{"update", "ID FIELD=VALUE...|-", "Change fields of a lead", nil, updateLead},
	{"upsert", "FIELD=VALUE...|-", "Update the lead with this email_id, or create it", nil, upsertLead},
	{"delete", "ID", "Delete a lead for good", nil, deleteLead},
	{"mcp", "", "Serve tools for AI agents (Model Context Protocol)", nil, serveMCP},
	{"keys create", "", "Create an API key", []string{"account", "mode"}, createKey},
	{"keys list", "", "List the API keys of an account", []string{"account"}, listKeys},
	{"keys revoke", "KEY_ID", "Revoke an API key for good", nil, revokeKey},
	{"audit", "", "Count the leads of an account, or of all, and compare the counters", nil, audit},
	{"duplicates", "", "List the e-mail addresses that more than one lead has", []string{"account", "mode"}, listDuplicates},
	{"reindex", "", "Update the indexes of the filters, for an account or for all", nil, reindex},
	{"import", "FILE|-", "Create a lead from each row of a CSV, Excel or JSON file, once", []string{"account", "mode"}, importLeads},
	{"import undo", "NAME", "Delete the leads of an import that nobody changed", []string{"account", "mode"}, undoImport},
	{"export", "FILE.csv|FILE.ndjson|-", "Write all leads of an account to a file", []string{"account", "mode"}, exportLeads},
	{"letters list", "", "List the events and records of a stack on AWS that failed for good", []string{"stack"}, listLetters},
	{"letters show", "LETTER_ID|all", "Print a dead letter", []string{"stack"}, showLetter},
	{"letters retry", "LETTER_ID|all", "Send a dead letter to the function again; nothing is created twice", []string{"stack"}, retryLetter},
	{"letters drop", "LETTER_ID|all", "Delete a dead letter", []string{"stack"}, dropLetter},
	{"version", "", "Print the version, with the commit", nil, printVersion},
}

// groups are the first words of commands with two words.
var groups = map[string]string{
	"keys":    "Create, list and revoke API keys",
	"letters": "List, show, retry and drop events and records that failed",
}

// details are longer descriptions of commands, for their help.
var details = map[string]string{"import": `Examples:
  leads import -account acme -mode live -dry-run hubspot.csv
  leads import -account acme -mode live -map "Stage=status" -map "Notes=" a.xlsx`}

const description = `get, list, create, update, upsert, delete and mcp use the API at LEADS_URL
with the API key LEADS_KEY, or the running leads serve if neither is set.

keys, audit, duplicates, reindex, import and export use the database at
DYNAMODB_ENDPOINT if that is set, else the database of the running leads serve,
else AWS with your credentials. LEADS_TABLE is the name of the table (default
leads). LEADS_FILTERS names the fields that lists can be filtered by (default
all: status,lead_owner,email_id).

letters use a stack on AWS with your credentials.

Flags have one dash or two, and come before or after other arguments.
"leads completion SHELL" prints a script for bash, zsh, fish or pwsh.

The exit status is 0 for success, 2 for wrong usage, 1 for all other errors.`

// helpTemplate is the help of a command: its commands, flags and description. A
// tab separates columns.
const helpTemplate = `{{.FullName}} {{with .ArgsUsage}}{{.}} {{end}}[flags]

{{.Usage}}.
{{range .VisibleCommands}}{{if ne .Name "help"}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}{{end}}{{range .VisibleFlags}}{{if ne (index .Names 0) "help"}}
  {{.}}{{end}}{{end}}
{{with .Description}}
{{.}}
{{end}}`

// errUsage is the error of a command line that is wrong.
var errUsage = errors.New("wrong usage")

// usageError returns an errUsage that says what is wrong.
func usageError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

func main() {
	os.Exit(run(os.Args))
}

// run runs the command that args name and returns its exit status: 2 for wrong
// usage, 1 for every other failure.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	err := newRoot().Run(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "leads: %v%s\n", err, fullStop(err))
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// newRoot returns leads with all its commands.
func newRoot() *cli.Command {
	cli.RootCommandHelpTemplate, cli.SubcommandHelpTemplate, cli.CommandHelpTemplate = helpTemplate, helpTemplate, helpTemplate
	root := newGroup("leads", "Run the lead API, use it, and manage its keys")
	root.Description = description
	root.EnableShellCompletion = true
	// run prints errors and chooses the exit status.
	root.ExitErrHandler = func(context.Context, *cli.Command, error) {}
	for _, c := range commands {
		parent, name := root, c.name
		if first, second, ok := strings.Cut(c.name, " "); ok {
			if parent = root.Command(first); parent == nil {
				parent = newGroup(first, groups[first])
				root.Commands = append(root.Commands, parent)
			}
			name = second
		}
		parent.Commands = append(parent.Commands, c.convert(name))
	}
	return root
}

// newGroup returns a command that only has other commands.
func newGroup(name, summary string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: summary, ArgsUsage: "COMMAND", OnUsageError: returnUsageError,
		Action: func(_ context.Context, group *cli.Command) error {
			if !group.Args().Present() {
				cli.HelpPrinter(os.Stderr, helpTemplate, group)
				return usageError("give a command")
			}
			return usageError("there is no command %q, see %s -h", group.Args().First(), group.FullName())
		},
	}
}

// convert returns the command as one of package cli.
func (c command) convert(name string) *cli.Command {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	runCommand := c.setup(flags)
	converted := &cli.Command{
		Name: name, Usage: c.summary, Description: details[c.name], ArgsUsage: c.args, HideHelpCommand: true, OnUsageError: returnUsageError,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			args := cmd.Args().Slice()
			err := c.checkUsage(cmd.IsSet, args)
			if err == nil {
				err = runCommand(ctx, args)
			}
			if errors.Is(err, errUsage) {
				err = fmt.Errorf("%w%s See leads %s -h", err, fullStop(err), c.name)
			}
			return err
		},
	}
	flags.VisitAll(func(f *flag.Flag) { converted.Flags = append(converted.Flags, convertFlag(f)) })
	return converted
}

// checkUsage checks that the required flags are set, and the number of arguments.
func (c command) checkUsage(isSet func(flag string) bool, args []string) error {
	for _, name := range c.required {
		if !isSet(name) {
			return usageError("-%s is missing", name)
		}
	}
	n := len(strings.Fields(c.args))
	tooFew := len(args) < n && !strings.HasPrefix(c.args, "[")
	tooMany := len(args) > n && !strings.Contains(c.args, "...")
	switch {
	case tooMany && n == 0:
		return usageError("unexpected argument %q", args[0])
	case tooFew || tooMany:
		return usageError("give these arguments: %s", c.args)
	}
	return nil
}

// convertFlag returns a flag of package flag as one of package cli.
func convertFlag(f *flag.Flag) cli.Flag {
	if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
		return &cli.BoolFlag{Name: f.Name, Usage: f.Usage, Local: true, HideDefault: true, Action: func(_ context.Context, _ *cli.Command, on bool) error {
			return f.Value.Set(strconv.FormatBool(on))
		}}
	}
	return &cli.GenericFlag{Name: f.Name, Usage: f.Usage, Local: true, Value: flagValue{f.Value}}
}

// flagValue is the value of a flag of package flag, with the method that package
// cli needs too.
type flagValue struct{ flag.Value }

func (v flagValue) Get() any { return v.Value }

func returnUsageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	return usageError("%w. See %s -h", err, cmd.FullName())
}

func printVersion(*flag.FlagSet) runFunc {
	return func(context.Context, []string) error {
		info, _ := debug.ReadBuildInfo()
		fmt.Printf("leads %s\n%s\n", info.Main.Version, info.GoVersion)
		for _, setting := range info.Settings {
			if name, ok := strings.CutPrefix(setting.Key, "vcs."); ok { // revision, time, modified
				fmt.Printf("%s %s\n", name, setting.Value)
			}
		}
		return nil
	}
}

// stopSignals returns the signals that stop a command: Ctrl-C, the shutdown of
// the machine and, unless nohup ignores it, the end of the terminal.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// fullStop returns a full stop, or "" if the text of the error ends with one or
// with a question mark.
func fullStop(err error) string {
	if text := err.Error(); strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return ""
	}
	return "."
}
