package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/tools/txtar"
)

// absent stands for a header or a body that is not there.
const absent = "(absent)"

var (
	variable = regexp.MustCompile(`\$(?:\w+|\{\w+\})`)
	fileName = regexp.MustCompile(`^[a-z0-9-]+\.[a-z]+$`)
	// repetition is a string times a number, an operator that Go does not have.
	repetition = regexp.MustCompile(`("(?:[^"\\]|\\.)*"|` + "`[^`]*`" + `)\*[0-9]+`)
)

// expand returns text, or the file whose name text is, with its variables
// replaced by their values. If quote is not nil, it is applied to each value.
func (r *runner) expand(text string, quote func(string) string) (string, error) {
	var errs []error
	if fileName.MatchString(text) {
		i := slices.IndexFunc(r.script.Files, func(f txtar.File) bool { return f.Name == text })
		if i < 0 {
			return "", fmt.Errorf("there is no file %s in this script", text)
		}
		text = string(r.script.Files[i].Data)
	}
	expanded := variable.ReplaceAllStringFunc(text, func(use string) string {
		value, ok := r.variables[strings.Trim(use, "${}")]
		if !ok {
			errs = append(errs, fmt.Errorf("%s has no value", use))
		}
		if quote != nil {
			value = quote(value)
		}
		return value
	})
	return expanded, errors.Join(errs...)
}

// forEachResponse checks the response to the last request, or to each of several.
func (r *runner) forEachResponse(check func(*response) error) error {
	if len(r.responses) == 0 {
		return errors.New("no request was sent before")
	}
	for _, resp := range r.responses {
		if err := check(resp); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) check(value, operator, text string) error {
	var quote func(string) string
	if strings.HasSuffix(operator, "~") {
		quote = regexp.QuoteMeta
	}
	want, err := r.expand(text, quote)
	if err != nil {
		return err
	}
	return r.forEachResponse(func(resp *response) error {
		if path, ok := strings.CutPrefix(value, "json "); ok && operator == "==" {
			got, err := lookUp(resp.body, path)
			if err != nil {
				return err
			}
			return compareJSON(got, jsontext.Value(want))
		}
		got, err := resp.value(value)
		if err != nil {
			return err
		}
		if got == absent && operator != "==" {
			return fmt.Errorf("there is no %s", value)
		}
		if strings.HasPrefix(value, "members ") {
			want = strings.Join(strings.Fields(want), " ")
		}
		return compare(got, operator, want)
	})
}

// compare reports an error unless got and want are as the operator says.
func compare(got, operator, want string) error {
	var ok bool
	switch operator {
	case "==":
		ok = got == want
	case "!=":
		ok = got != want
	case ">":
		ok = got > want
	default:
		pattern, err := regexp.Compile(want)
		if err != nil {
			return err
		}
		ok = pattern.MatchString(got) == (operator == "~")
	}
	if !ok {
		return fmt.Errorf("it is %q", shorten(got))
	}
	return nil
}

// value returns the value of a response that a script names.
func (resp *response) value(name string) (string, error) {
	kind, argument, _ := strings.Cut(name, " ")
	switch kind {
	case "status":
		return strconv.Itoa(resp.status), nil
	case "response":
		return resp.comparable(), nil
	case "header":
		if values := resp.header.Values(argument); len(values) > 0 {
			return strings.Join(values, ", "), nil
		}
		return absent, nil
	case "body":
		if len(resp.body) > 0 {
			return string(resp.body), nil
		}
		return absent, nil
	}
	value, err := lookUp(resp.body, argument)
	if err != nil {
		return "", err
	}
	switch kind {
	case "members":
		names, err := memberNames(value)
		return strings.Join(names, " "), err
	case "length":
		var list []jsontext.Value
		if value.Kind() != '[' || json.Unmarshal(value, &list) != nil {
			return "", fmt.Errorf("%s is not an array", argument)
		}
		return strconv.Itoa(len(list)), nil
	}
	return textOf(value), nil
}

// setVariable sets a variable to a value of the last response.
func (r *runner) setVariable(name, value string) error {
	return r.forEachResponse(func(resp *response) error {
		text, err := resp.value(value)
		if err == nil && text == absent {
			err = fmt.Errorf("there is no %s", value)
		}
		r.variables[name] = text
		return err
	})
}

// setExpression sets a variable to the result of a constant Go expression.
func (r *runner) setExpression(name, text string) error {
	text, err := r.expand(text, nil)
	if err != nil {
		return err
	}
	text = repetition.ReplaceAllStringFunc(text, func(match string) string {
		i := strings.LastIndexByte(match, '*')
		content, err1 := strconv.Unquote(match[:i])
		times, err2 := strconv.Atoi(match[i+1:])
		if err1 != nil || err2 != nil {
			return match // Eval reports it
		}
		return strconv.Quote(strings.Repeat(content, times))
	})
	result, err := types.Eval(token.NewFileSet(), nil, token.NoPos, text)
	if err != nil {
		return err
	}
	if result.Value == nil {
		return fmt.Errorf("%s is not a constant", text)
	}
	r.variables[name] = result.Value.ExactString()
	if result.Value.Kind() == constant.String {
		r.variables[name] = constant.StringVal(result.Value)
	}
	return nil
}
