package contract

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"rsc.io/script"
)

// commands returns the script language's verbs, bound to s.
func (s *player) commands() map[string]script.Cmd {
	return map[string]script.Cmd{
		"key":      s.command("use this key from here on", "NAME", 1, 1, s.useKey),
		"with":     s.command("add a header to the next request", "HEADER VALUE", 2, 2, s.addHeader),
		"without":  s.command("leave a header out of the next request", "HEADER", 1, 1, s.dropHeader),
		"request":  s.requestCommand(),
		"repeat":   s.command("send a request several times", "N METHOD PATH [BODY]", 3, 4, s.repeat),
		"curl":     s.command("send what a curl command would send", "FILE [ID]", 1, 2, s.curl),
		"wait":     script.Wait(),
		"stop":     script.Stop(),
		"status":   s.command("the status is one of these", "N...", 1, -1, s.checkStatus),
		"header":   s.matcher("the header is there and matches", "NAME [REGEXP]", 1, 2, s.checkHeader),
		"json":     s.command("the value at a path equals this JSON", "PATH VALUE", 2, 2, s.checkJSON),
		"match":    s.matcher("the text at a path matches", "PATH REGEXP", 2, 2, s.checkMatch),
		"members":  s.command("the object has exactly these members in this order", "PATH NAME...", 2, -1, s.checkMembers),
		"length":   s.command("the array has this many elements", "PATH N", 2, 2, s.checkLength),
		"error":    s.command("the answer is this error", "STATUS CODE [PARAM [CODE PARAM]...]", 2, -1, s.checkError),
		"empty":    s.command("the answer has no body", "", 0, 0, s.checkEmpty),
		"same":     s.command("the answer is the one remembered", "NAME", 1, 1, s.checkSame),
		"capture":  s.command("keep a value", "NAME PATH | NAME header HEADER", 2, 3, s.capture),
		"remember": s.command("keep the whole answer", "NAME", 1, 1, s.remember),
		"let":      s.command("keep a text", `NAME "TEXT"[*N]...`, 2, -1, s.let),
		"add":      s.command("keep a sum", "NAME A B", 3, 3, s.add),
		"equal":    s.command("two values are the same text", "A B", 2, 2, s.checkEqual),
		"before":   s.command("one value sorts before another", "A B", 2, 2, s.checkBefore),
		"pause":    s.command("wait until a time in whole seconds is another", "", 0, 0, pause),
		"alone":    s.command("no other script runs beside this one", "", 0, 0, s.alone),
	}
}

type commandFunc func(state *script.State, args ...string) error

// command makes a verb that takes from least to most words; most < 0 means any
// number. A wrong number is the script's own fault.
func (s *player) command(summary, args string, least, most int, run commandFunc) script.Cmd {
	usage := script.CmdUsage{Summary: summary, Args: args}
	return script.Command(usage, s.counted(args, least, most, run))
}

// matcher is a command whose second word is a regular expression.
func (s *player) matcher(summary, args string, least, most int, run commandFunc) script.Cmd {
	usage := script.CmdUsage{
		Summary: summary, Args: args,
		RegexpArgs: func(...string) []int { return []int{1} },
	}
	return script.Command(usage, s.counted(args, least, most, run))
}

func (s *player) counted(usage string, least, most int, run commandFunc) func(*script.State, ...string) (script.WaitFunc, error) {
	return func(state *script.State, args ...string) (script.WaitFunc, error) {
		if len(args) < least || most >= 0 && len(args) > most {
			return nil, s.wrong(fmt.Errorf("this command takes %s", usage))
		}
		return nil, run(state, args...)
	}
}

// last returns the answer that the script speaks about.
func (s *player) last() (*answer, error) {
	if s.answer == nil {
		return nil, s.wrong(errors.New("no request was sent before"))
	}
	return s.answer, nil
}

// at returns the value at path in the last answer.
func (s *player) at(path string) (jsontext.Value, error) {
	a, err := s.last()
	if err != nil {
		return nil, err
	}
	v, err := lookup(a.body, path)
	if errors.Is(err, errPath) {
		return nil, s.wrong(err)
	}
	return v, err
}

func (s *player) number(word string) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil {
		return 0, s.wrong(fmt.Errorf("%q is not a whole number", word))
	}
	return n, nil
}

// What to send.

func (s *player) useKey(_ *script.State, args ...string) error {
	if args[0] != noKey {
		if _, err := s.keyValue(args[0]); err != nil {
			return s.wrong(err)
		}
	}
	s.key = args[0]
	return nil
}

func (s *player) addHeader(_ *script.State, args ...string) error {
	s.with.Add(args[0], args[1])
	return nil
}

func (s *player) dropHeader(_ *script.State, args ...string) error {
	s.without = append(s.without, http.CanonicalHeaderKey(args[0]))
	return nil
}

// requestCommand is the only one that may run in the background: it sends at
// once and takes the answer when the engine waits for it.
func (s *player) requestCommand() script.Cmd {
	usage := script.CmdUsage{Summary: "send a request", Args: "METHOD PATH [BODY]", Async: true}
	return script.Command(usage, func(state *script.State, args ...string) (script.WaitFunc, error) {
		if len(args) < 2 || len(args) > 3 {
			return nil, s.wrong(errors.New("request takes METHOD PATH [BODY]"))
		}
		r, err := s.parseRequest(state, args)
		if err != nil {
			return nil, err
		}
		var (
			a    *answer
			fail error
			done = make(chan struct{})
		)
		go func() {
			defer close(done)
			a, fail = s.send(state.Context(), r)
		}()
		return func(state *script.State) (stdout, stderr string, err error) {
			<-done
			return "", "", s.take(state, r, a, fail)
		}, nil
	})
}

// take makes a the last answer.
func (s *player) take(state *script.State, r request, a *answer, err error) error {
	logExchange(state, r, a)
	s.answer = a
	if err != nil {
		return s.wrong(err) // no script expects an answer that breaks the rules for all
	}
	return nil
}

func (s *player) parseRequest(state *script.State, args []string) (request, error) {
	var body *string
	if len(args) == 3 {
		text, err := s.content(state, args[2])
		if err != nil {
			return request{}, err
		}
		body = &text
	}
	return s.newRequest(args[0], args[1], body), nil
}

func (s *player) repeat(state *script.State, args ...string) error {
	n, err := s.number(args[0])
	if err != nil {
		return err
	}
	r, err := s.parseRequest(state, args[1:])
	if err != nil {
		return err
	}
	for i := range n {
		before := s.answer
		a, err := s.send(state.Context(), r)
		if err := s.take(state, r, a, err); err != nil {
			return err
		}
		if i > 0 && a.status != before.status {
			return fmt.Errorf("request %d has status %d, those before it %d", i+1, a.status, before.status)
		}
	}
	return nil
}

func (s *player) curl(state *script.State, args ...string) error {
	line, err := s.content(state, args[0])
	if err != nil {
		return err
	}
	id := ""
	if len(args) == 2 {
		id = args[1]
	}
	r, err := parseCurl(line, id, s.key)
	if err != nil {
		return s.wrong(err)
	}
	a, err := s.send(state.Context(), r)
	return s.take(state, r, a, err)
}

// pause waits for more than a second: the API tells times in whole seconds.
func pause(state *script.State, _ ...string) error {
	select {
	case <-time.After(1100 * time.Millisecond):
		return nil
	case <-state.Context().Done():
		return context.Cause(state.Context())
	}
}

func (s *player) alone(*script.State, ...string) error { return nil } // source.alone reads it

// What must come back.

func (s *player) checkStatus(_ *script.State, args ...string) error {
	a, err := s.last()
	if err != nil {
		return err
	}
	for _, arg := range args {
		want, err := s.number(arg)
		if err != nil {
			return err
		}
		if a.status == want {
			return nil
		}
	}
	return fmt.Errorf("the status is %d", a.status)
}

func (s *player) checkHeader(_ *script.State, args ...string) error {
	a, err := s.last()
	if err != nil {
		return err
	}
	values := a.header.Values(args[0])
	if len(values) == 0 {
		return fmt.Errorf("there is no header %s", args[0])
	}
	if len(args) == 1 {
		return nil
	}
	return s.matches(strings.Join(values, ", "), args[1])
}

func (s *player) matches(got, pattern string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return s.wrong(err)
	}
	if !re.MatchString(got) {
		return fmt.Errorf("%q does not match", short(got))
	}
	return nil
}

func (s *player) checkJSON(state *script.State, args ...string) error {
	content, err := s.content(state, args[1])
	if err != nil {
		return err
	}
	want := jsontext.Value(strings.TrimSpace(content))
	if !want.IsValid() {
		return s.wrong(fmt.Errorf("%s is not JSON", short(want)))
	}
	got, err := s.at(args[0])
	if err != nil {
		return err
	}
	return difference(args[0], got, want)
}

func (s *player) checkMatch(_ *script.State, args ...string) error {
	got, err := s.at(args[0])
	if err != nil {
		return err
	}
	return s.matches(text(got), args[1])
}

func (s *player) checkMembers(state *script.State, args ...string) error {
	var want []string
	for _, arg := range args[1:] {
		names, err := s.content(state, arg)
		if err != nil {
			return err
		}
		want = append(want, strings.Fields(names)...)
	}
	value, err := s.at(args[0])
	if err != nil {
		return err
	}
	got, err := memberNames(value)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the members are %q, want %q", got, want)
	}
	return nil
}

func (s *player) checkLength(_ *script.State, args ...string) error {
	want, err := s.number(args[1])
	if err != nil {
		return err
	}
	value, err := s.at(args[0])
	if err != nil {
		return err
	}
	got, err := elements(value)
	if err != nil {
		return err
	}
	if len(got) != want {
		return fmt.Errorf("there are %d elements", len(got))
	}
	return nil
}

func (s *player) checkError(_ *script.State, args ...string) error {
	a, err := s.last()
	if err != nil {
		return err
	}
	status, err := s.number(args[0])
	if err != nil {
		return err
	}
	if a.status != status {
		return fmt.Errorf("the status is %d", a.status)
	}
	if a.method == http.MethodHead {
		return s.wrong(errors.New("the answer to HEAD has no body to hold an error"))
	}
	e, err := a.error()
	if err != nil {
		return err
	}
	return s.matchError(e, args[1:])
}

// matchError compares an error with CODE [PARAM [CODE PARAM]...].
func (s *player) matchError(e *apiError, want []string) error {
	switch {
	case len(want) == 1: // no parameter is at fault
		if e.Param != nil {
			return fmt.Errorf("param is %q, want null", *e.Param)
		}
		return sameCode(e.Code, want[0])
	case len(want) == 2 && want[1] == "?":
		return sameCode(e.Code, want[0])
	case len(want)%2 != 0:
		return s.wrong(errors.New("each CODE has its PARAM"))
	}
	// The contract does not say in which order violations come.
	left := slices.Clone(e.Errors)
	for pair := range slices.Chunk(want, 2) {
		i := slices.IndexFunc(left, func(v violation) bool {
			return v.Param != nil && *v.Param == pair[1] && sameCode(v.Code, pair[0]) == nil
		})
		if i < 0 {
			return fmt.Errorf("there is no violation %s %s among %s", pair[0], pair[1], keys(e.Errors))
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		return fmt.Errorf("unexpected violations %s", keys(left))
	}
	return nil
}

// sameCode compares a code with one or several allowed ones, as in a|b.
func sameCode(got, want string) error {
	if !slices.Contains(strings.Split(want, "|"), got) {
		return fmt.Errorf("the code is %q", got)
	}
	return nil
}

func keys(violations []violation) string {
	var words []string
	for _, v := range violations {
		words = append(words, v.key())
	}
	return fmt.Sprintf("%q", words)
}

func (s *player) checkEmpty(*script.State, ...string) error {
	a, err := s.last()
	if err == nil && len(a.body) > 0 {
		return fmt.Errorf("there are %d bytes of body", len(a.body))
	}
	return err
}

func (s *player) checkSame(_ *script.State, args ...string) error {
	a, err := s.last()
	if err != nil {
		return err
	}
	other, ok := s.remembered[args[0]]
	if !ok {
		return s.wrong(fmt.Errorf("no answer was remembered as %s", args[0]))
	}
	return a.sameAs(other)
}

func (s *player) checkEqual(_ *script.State, args ...string) error {
	if args[0] != args[1] {
		return fmt.Errorf("%q is not %q", short(args[0]), short(args[1]))
	}
	return nil
}

func (s *player) checkBefore(_ *script.State, args ...string) error {
	if args[0] >= args[1] {
		return fmt.Errorf("%q does not sort before %q", short(args[0]), short(args[1]))
	}
	return nil
}

// What to keep.

func (s *player) capture(state *script.State, args ...string) error {
	if len(args) == 3 {
		return s.captureHeader(state, args)
	}
	v, err := s.at(args[1])
	if err != nil {
		return err
	}
	return state.Setenv(args[0], text(v))
}

func (s *player) captureHeader(state *script.State, args []string) error {
	if args[1] != "header" {
		return s.wrong(errors.New("capture takes NAME PATH or NAME header HEADER"))
	}
	a, err := s.last()
	if err != nil {
		return err
	}
	value := a.header.Get(args[2])
	if value == "" {
		return fmt.Errorf("there is no header %s", args[2])
	}
	return state.Setenv(args[0], value)
}

func (s *player) remember(_ *script.State, args ...string) error {
	a, err := s.last()
	if err != nil {
		return err
	}
	s.remembered[args[0]] = a
	return nil
}

func (s *player) let(state *script.State, args ...string) error {
	var b strings.Builder
	for _, part := range args[1:] {
		text, err := unquote(part)
		if err != nil {
			return s.wrong(err)
		}
		b.WriteString(text)
	}
	return state.Setenv(args[0], b.String())
}

// unquote reads "TEXT" or "TEXT"*N in Go's quotes.
func unquote(part string) (string, error) {
	quoted, err := strconv.QuotedPrefix(part)
	if err != nil {
		return "", fmt.Errorf("%s is not a text in Go's quotes", short(part))
	}
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return "", err
	}
	times, ok := strings.CutPrefix(part[len(quoted):], "*")
	if !ok && part != quoted {
		return "", fmt.Errorf("%s is not followed by *N", quoted)
	}
	if !ok {
		return text, nil
	}
	n, err := strconv.Atoi(times)
	if err != nil || n < 0 {
		return "", fmt.Errorf("%q is not a number of times", times)
	}
	return strings.Repeat(text, n), nil
}

func (s *player) add(state *script.State, args ...string) error {
	a, ok1 := new(big.Int).SetString(args[1], 10)
	b, ok2 := new(big.Int).SetString(args[2], 10)
	if !ok1 || !ok2 {
		return s.wrong(fmt.Errorf("%q and %q are not both whole numbers", args[1], args[2]))
	}
	return state.Setenv(args[0], a.Add(a, b).String())
}
