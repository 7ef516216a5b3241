// Command leads is the developer's tool for the lead API: it runs the API on this
// machine, manages API keys on every stage, and imports and exports leads. Run
// leads -h for its commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// A command is one command of leads.
type command struct {
	name     string // one or two words
	synopsis string
	summary  string
	required []string // names of the flags that must be set
	// checkArgs returns an errUsage if the arguments after the flags are wrong.
	checkArgs func(args []string) error
	// setup defines the flags and returns the function that runs the command. arg
	// is the argument after the flags, if there is one.
	setup func(*flag.FlagSet) func(ctx context.Context, arg string) error
}

var commands = []command{
	{"serve", "[-addr HOST:PORT] [-data DIR]",
		"Run the API on this machine.", nil, checkNoArgs, serve},
	{"keys create", "-account NAME -mode test|live [-scopes read,write] [-expires 90d] [-data DIR]",
		"Create an API key.", []string{"account", "mode"}, checkNoArgs, createKey},
	{"keys list", "-account NAME [-data DIR]",
		"List the API keys of an account.", []string{"account"}, checkNoArgs, listKeys},
	{"keys revoke", "[-data DIR] KEY_ID",
		"Revoke an API key. A revoked key cannot be used again.", nil, checkKeyID, revokeKey},
	{"audit", "-account NAME -mode test|live [-repair] [-data DIR]",
		"Count all leads of an account and compare the stored counts.", []string{"account", "mode"}, checkNoArgs, audit},
	{"import undo", "-account NAME -mode test|live [-data DIR] NAME",
		"Delete the leads that an import created and that nobody changed since.", []string{"account", "mode"}, checkImportName, undoImport},
	{"import", "-account NAME -mode test|live [flags] FILE|-",
		"Create a lead from each row of a CSV, .xlsx, NDJSON or JSON file, once.", []string{"account", "mode"}, checkImportFile, importLeads},
	{"export", "-account NAME -mode test|live [flags] FILE.csv|FILE.ndjson|-",
		"Write all leads of an account to a file.", []string{"account", "mode"}, checkFileName, exportLeads},
}

// importExamples are at the end of leads import -h.
const importExamples = `Examples:
  leads import -account acme -mode live -dry-run hubspot.csv
  leads import -account acme -mode live -map "Stage=status" -map "Notes=" a.xlsx
`

const environment = `Environment:
  DYNAMODB_ENDPOINT  address of another database engine to use
  LEADS_TABLE        name of the table (default leads)

All commands except serve use the database at DYNAMODB_ENDPOINT if that is set,
else the database of the running leads serve, else AWS with your credentials.
`

// errUsage is the error of a command line that is wrong.
var errUsage = errors.New("wrong usage")

// usageError returns an errUsage that says what is wrong.
func usageError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

func main() {
	os.Exit(run(os.Args[1:]))
}

// run runs the command that args name and returns its exit status: 2 for wrong
// usage, 1 for every other failure.
func run(args []string) int {
	for _, c := range commands {
		name := strings.Fields(c.name)
		if len(args) >= len(name) && slices.Equal(args[:len(name)], name) {
			return c.run(args[len(name):])
		}
	}
	if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[len(args)-1]) {
		printOverview(os.Stdout)
		return 0
	}
	if len(args) > 0 {
		fmt.Fprintf(os.Stderr, "leads: there is no command %q.\n\n", strings.Join(args, " "))
	}
	printOverview(os.Stderr)
	return 2
}

func printOverview(w io.Writer) {
	fmt.Fprint(w, "leads runs the lead API, manages its keys, and imports and exports leads.\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  leads %s %s\n      %s\n", c.name, c.synopsis, c.summary)
	}
	fmt.Fprintf(w, "\nRun leads COMMAND -h for the flags of a command.\n\n%s", environment)
}

// printHelp prints one line for each flag.
func (c command) printHelp(out io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(out, "leads %s %s\n\n%s\n\n", c.name, c.synopsis, c.summary)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			usage += fmt.Sprintf(" (default %q)", f.DefValue)
		}
		fmt.Fprintf(w, "  -%s %s\t%s\n", f.Name, value, usage)
	})
	w.Flush()
	text := environment
	if c.name == "import" {
		text = importExamples
	}
	fmt.Fprintf(out, "\n%s", text)
}

// run runs the command with the arguments after its name and returns its exit
// status.
func (c command) run(args []string) int {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the errors
	flags.Usage = func() {}
	runCommand := c.setup(flags)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		c.printHelp(os.Stdout, flags)
		return 0
	}
	if err != nil {
		err = usageError("%w", err)
	} else if err = c.checkUsage(flags); err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
		defer stop()
		err = runCommand(ctx, flags.Arg(0))
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "leads %s: %v. See leads %[1]s -h.\n", c.name, err)
		return 2
	default:
		fmt.Fprintf(os.Stderr, "leads: %s\n", endSentence(err.Error()))
		return 1
	}
}

// checkUsage checks that the required flags are set and that the arguments after
// the flags are right.
func (c command) checkUsage(flags *flag.FlagSet) error {
	for i, arg := range flags.Args() {
		if i > 0 && len(arg) > 1 && arg[0] == '-' { // package flag takes it for an argument
			return usageError("%s comes too late: flags go before all other arguments", arg)
		}
	}
	set := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { set[f.Name] = true })
	for _, name := range c.required {
		if !set[name] {
			return usageError("-%s is missing", name)
		}
	}
	return c.checkArgs(flags.Args())
}

func checkNoArgs(args []string) error {
	if len(args) > 0 {
		return usageError("unexpected argument %q", args[0])
	}
	return nil
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

// endSentence adds a full stop if the text does not end with one or with a
// question mark.
func endSentence(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}
