// Command leads is the developer's side of the lead API: it runs the API on
// this machine, manages API keys on every stage, and imports and exports leads.
// See leads -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"overplane.dev/leads/pkg/lead"
)

// A command is one that leads has. Its name can be of two words.
type command struct {
	name    string
	args    string // as the synopsis has them
	summary string
	// setup defines the command's flags and returns what runs it with the
	// arguments after them.
	setup func(*flag.FlagSet) func(ctx context.Context, args []string) error
}

var commands = []command{
	{"serve", "[-addr HOST:PORT] [-data DIR]", "Run the API on this machine.", serve},
	{"keys create", "-account NAME -mode test|live [-scopes read,write] [-expires 90d] [-data DIR]", "Make an API key.", createKey},
	{"keys list", "-account NAME [-data DIR]", "List the API keys of an account.", listKeys},
	{"keys revoke", "[-data DIR] KEY_ID", "End an API key for good.", revokeKey},
	{"audit", "-account NAME -mode test|live [-repair] [-data DIR]", "Count all leads of an account and hold the totals against that.", audit},
	{"import", "-account NAME -mode test|live [-data DIR] FILE.csv|FILE.ndjson", "Make leads of the rows of a file, each once however often it is run.", importLeads},
	{"export", "-account NAME -mode test|live [-data DIR] FILE.csv|FILE.ndjson", "Write all leads of an account into a file.", exportLeads},
}

const environment = `Environment:
  DYNAMODB_ENDPOINT  address of a database engine to use instead of our own
  LEADS_TABLE        name of the table (default leads)

All commands but serve work on the database at DYNAMODB_ENDPOINT where that is
set, else on that of the running leads serve, else on AWS with your credentials.
`

// errUsage is wrong usage. What wraps it says what is wrong.
var errUsage = errors.New("wrong usage")

func usage(format string, args ...any) error {
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
		overview(os.Stdout)
		return 0
	}
	if len(args) > 0 {
		fmt.Fprintf(os.Stderr, "leads: there is no command %q.\n\n", strings.Join(args, " "))
	}
	overview(os.Stderr)
	return 2
}

func overview(w io.Writer) {
	fmt.Fprint(w, "leads runs the lead API, manages its keys, and moves leads in and out.\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  leads %s %s\n      %s\n", c.name, c.args, c.summary)
	}
	fmt.Fprintf(w, "\nleads COMMAND -h tells more of one.\n\n%s", environment)
}

func (c command) run(args []string) int {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // of its errors, which are ours to print
	flags.Usage = func() {}
	run := c.setup(flags)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(os.Stdout, flags)
		return 0
	case err != nil:
		err = usage("%w", err)
	default:
		if err = lateFlag(flags.Args()); err == nil {
			err = run(context.Background(), flags.Args())
		}
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "leads %s: %v. See leads %[1]s -h.\n", c.name, err)
		return 2
	default:
		fmt.Fprintf(os.Stderr, "leads: %s\n", sentence(err))
		return 1
	}
}

// lateFlag refuses a flag behind another argument, which package flag takes for
// an argument too.
func lateFlag(args []string) error {
	for i, arg := range args {
		if i > 0 && strings.HasPrefix(arg, "-") {
			return usage("%s stands too late: flags go before all other arguments", arg)
		}
	}
	return nil
}

// sentence ends what an error says with a full stop, if nothing ends it yet.
func sentence(err error) string {
	text := err.Error()
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

func (c command) help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "leads %s %s\n\n%s\n\n", c.name, c.args, c.summary)
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprintf(w, "\n%s", environment)
}

func noArguments(args []string) error {
	if len(args) > 0 {
		return usage("there is an argument too many, %q", args[0])
	}
	return nil
}

// servedData is what the flag -data means to all commands but serve.
const servedData = "the data directory `DIR` of the running leads serve"

// dataFlag defines the flag that names the data directory of leads serve.
func dataFlag(flags *flag.FlagSet, meaning string) *string {
	return flags.String("data", ".leads", meaning)
}

// tenantFlags defines the flags that say whose leads a command is about. Both are
// needed: see needTenant.
func tenantFlags(flags *flag.FlagSet, tenant *lead.Tenant) {
	accountFlag(flags, &tenant.Account)
	flags.Func("mode", "the `MODE`, test or live: it has leads of its own", func(text string) error {
		tenant.Mode = lead.Mode(text)
		if !tenant.Mode.Valid() {
			return errors.New("give test or live")
		}
		return nil
	})
}

func accountFlag(flags *flag.FlagSet, account *string) {
	flags.Func("account", "the account's `NAME`: 1 to 32 lower-case letters, digits and hyphens", func(text string) error {
		if !lead.ValidAccount(text) {
			return errors.New("give 1 to 32 lower-case letters, digits and hyphens, with no hyphen at either end")
		}
		*account = text
		return nil
	})
}

func needTenant(tenant lead.Tenant) error {
	if tenant.Account == "" || tenant.Mode == "" {
		return usage("-account and -mode are needed")
	}
	return nil
}
