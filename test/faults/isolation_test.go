package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/lambdahttp"
	"overplane.dev/leads/test/dynamotest"
)

// httpEvent returns an event of API Gateway, payload format 2.0.
func httpEvent(method, path, key, body string) []byte {
	return toJSON(object{
		"version": "2.0", "rawPath": path, "body": body,
		"headers":        object{"authorization": "Bearer " + key, "content-type": "application/json"},
		"requestContext": object{"stage": "$default", "http": object{"method": method}},
	})
}

// invokeHTTP returns a function's response to an event of API Gateway.
func (f *fixture) invokeHTTP(t *testing.T, ctx context.Context, function lambda.Handler, event []byte) response {
	t.Helper()
	out, err := function.Invoke(ctx, event)
	var got events.APIGatewayV2HTTPResponse
	if err = errors.Join(err, decode(out, &got)); err != nil {
		t.Error(err)
	}
	header := http.Header{}
	for name, value := range got.Headers {
		header.Set(name, value)
	}
	return f.newResponse(got.StatusCode, header, got.Body)
}

// TestWarmFunctionKeepsNothingOfEarlierRequests has a function fail a request of
// one account, and then serve another account.
func TestWarmFunctionKeepsNothingOfEarlierRequests(t *testing.T) {
	t.Parallel()
	client := startDatabase(t)
	panicking := func(*call) (*http.Response, error) { panic("kaboom") }
	for name, inject := range map[string]injector{
		"panic":                 panicking,
		"panic after execution": executeThen(panicking),
		"timeout":               hang,
		"lost connection":       failWith(io.EOF),
		"lost response":         executeThen(failWith(io.ErrUnexpectedEOF)),
		"access denied":         databaseError(400, "AccessDeniedException"),
	} {
		for at := range 2 { // the reading of the key, the write
			t.Run(fmt.Sprintf("%s, call %d", name, at+1), func(t *testing.T) {
				t.Parallel()
				one, two := newFixture(t, client, 1, 0), newFixture(t, client, 1, 0)
				table := one.newTable()
				function := lambdahttp.New(api.New(api.Config{Leads: table, Keys: table, Now: one.clock}).Handler(api.Routes()...))
				const path = "/api/crm/lead"
				check := func(ctx context.Context, what string, event []byte, isExpected func(status int, body string) bool) {
					t.Helper()
					if got := one.invokeHTTP(t, ctx, function, event); !isExpected(got.status, got.body) {
						t.Errorf("%s: %v", what, got)
					}
				}
				limited, cancel := context.WithTimeout(t.Context(), apiMargin+150*time.Millisecond)
				check(withFaults(limited, startingAt(at, inject)), "the request that fails", httpEvent("POST", path, one.key, `{"lead_name":"of one"}`),
					func(status int, _ string) bool { return status >= 500 })
				cancel()
				check(t.Context(), "the next request", httpEvent("POST", path, two.key, `{"lead_name":"of two"}`),
					func(status int, body string) bool { return status == 201 && !strings.Contains(body, "of one") })
				check(t.Context(), "the list of the second account", httpEvent("GET", path, two.key, ""), func(status int, body string) bool {
					return status == 200 && findNumber(totalPattern, body) == 2 && !strings.Contains(body, "of one")
				})
				check(t.Context(), "the second account retrieves a lead of the first", httpEvent("GET", path+"/"+one.namesToIDs("lead_1"), two.key, ""),
					func(status int, _ string) bool { return status == 404 })
				check(t.Context(), "the list of the first account", httpEvent("GET", path, one.key, ""),
					func(status int, body string) bool { return status == 200 && findNumber(totalPattern, body) >= 1 })
			})
		}
	}
}

func TestRevokedKeyIsRefusedAfter30Seconds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, startDatabase(t), 1, 0)
	get := request{method: "GET", path: "/lead_1"}
	id, _, _ := apikey.Parse(f.key)
	processes := []http.Handler{f.newAPI(), f.newAPI(), f.newAPI()}
	for i, process := range processes { // these cache the key at different times
		f.advance(time.Duration(i) * 7 * time.Second)
		if got := f.sendTo(t.Context(), process, get); got.status != 200 {
			t.Fatal(got)
		}
	}
	if err := f.newTable().RevokeKey(t.Context(), id, f.clock()); err != nil {
		t.Fatal(err)
	}
	f.advance(30 * time.Second)
	for i, process := range processes {
		if got := f.sendTo(t.Context(), process, get); got.status != 401 {
			t.Errorf("process %d, 30 seconds later: %v", i+1, got)
		}
	}
}

// TestInvalidKeysAreIndistinguishable compares responses and database calls for
// an unknown key, a wrong secret, and a revoked key.
func TestInvalidKeysAreIndistinguishable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, startDatabase(t), 1, 0)
	newKey := func() (string, apikey.Key) {
		return apikey.NewKey(f.tenant, apikey.Read, f.clock(), time.Time{})
	}
	unknown, _ := newKey()
	wrongSecret, stored := newKey()
	stored.Hash[0]++
	revoked, ended := newKey()
	ended.RevokedAt = f.clock()
	for _, k := range []apikey.Key{stored, ended} {
		if err := f.newTable().CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	results := map[string][]string{}
	for name, key := range map[string]string{"unknown": unknown, "wrong secret": wrongSecret, "revoked": revoked} {
		f.key = key
		var calls string
		ctx := withInjector(t.Context(), func(c *call) (*http.Response, error) {
			calls += c.operation + " "
			return c.send()
		})
		got := f.sendTo(ctx, f.newAPI(), request{method: "GET", path: "/lead_1"})
		if got.status != 401 || calls != "GetItem " {
			t.Errorf("%s: calls %s, response %v", name, calls, got)
		}
		result := got.String() + calls
		results[result] = append(results[result], name)
	}
	if len(results) != 1 {
		t.Errorf("they can be distinguished: %v", results)
	}
}

// internal matches what only the product and its database know.
var internal = regexp.MustCompile(`(?i)dynamodb|amazonaws|smithy|aws-sdk|\*[a-z]+\.[A-Z]|interface ?\{|` +
	internalTable + `|` + internalRequest + `|` + regexp.QuoteMeta(dynamotest.TableName) + `/|127\.0\.0\.1|goroutine`)

// TestLogsAndErrorsHoldNoSecrets sends valid and invalid requests and events
// under all faults, and searches the errors and the log for keys, values of
// fields, and internal names.
func TestLogsAndErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t, startDatabase(t), 2, time.Second)
	log := &safeBuffer{}
	f.log = log
	f.restart()
	random := rand.New(rand.NewPCG(*seed, 9))
	validKey := f.key
	secrets := []string{validKey, validKey[20:52]}
	secret := func() string {
		s := fmt.Sprintf("secret%016x", random.Uint64())
		secrets = append(secrets, s)
		return s
	}
	check := func(what, text string) {
		t.Helper()
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Fatalf("seed %d: %s holds a secret: %s", *seed, what, text)
			}
		}
		if found := internal.FindString(text); found != "" {
			t.Fatalf("seed %d: %s holds %q: %s", *seed, what, found, text)
		}
	}
	for range 150 * *effort {
		f.key = validKey
		bodies := []string{
			`{"lead_name":"` + secret() + `","email_id":"` + secret() + `"}`, // no valid address
			`{"lead_name":"` + secret() + `","annual_revenue":"` + secret() + `"}`,
			`{"lead_name":"` + secret() + strings.Repeat("x", 200) + `"}`,
			`{"city":"` + secret() + `"`, `"` + secret() + `"`, `{"city":"` + secret() + `","city":"` + secret() + `"}`,
			`{"city":"` + secret() + `"}`,
		}
		r := request{body: bodies[random.IntN(len(bodies))], header: map[string]string{}}
		switch random.IntN(5) {
		case 0:
			r.method, r.header["Idempotency-Key"] = "POST", secret()
		case 1:
			r.method, r.path = "PATCH", "/lead_1"
		case 2:
			r.method, r.path, r.header["If-Match"] = "DELETE", "/lead_2", `"`+secret()+`"`
		case 3:
			r.method, r.path, r.body = "GET", "/lead_1", ""
		case 4:
			r.method, r.body = "GET", ""
		}
		if random.IntN(8) == 0 {
			f.key = validKey[:len(validKey)-1] + secret()
		}
		inject := randomFaults(random, new([]string))
		if random.IntN(4) == 0 {
			faults := faultsOf(&call{operation: "UpdateItem"})
			inject = startingAt(random.IntN(3), faults[random.IntN(len(faults))].inject)
		} else if random.IntN(6) == 0 {
			inject = startingAt(random.IntN(3), databaseError(400, "ResourceNotFoundException"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), apiMargin+40*time.Millisecond)
		got := f.send(withFaults(ctx, inject), r)
		cancel()
		if random.IntN(4) == 0 {
			event := sqsRecord(fmt.Sprint(random.Uint64()), bodies[random.IntN(len(bodies))], "in", map[string]string{"idempotency_key": secret()}, "")
			if random.IntN(2) == 0 {
				event = sqsRecord("id", bodies[random.IntN(len(bodies))], "in.fifo", nil, secret())
			}
			ctx, cancel := context.WithTimeout(t.Context(), delivery{}.margin()+40*time.Millisecond)
			delivery{event: records(event)}.run(withFaults(ctx, randomFaults(random, new([]string))), f)
			cancel()
		}
		if got.status >= 400 {
			check("the response to a "+r.method, got.body)
		}
	}
	for line := range strings.Lines(log.String()) {
		check("the log", line)
	}
	for _, status := range []string{`"status":500`, `"status":503`, `"status":400`, `"status":401`} {
		if !strings.Contains(log.String(), status) {
			t.Errorf("seed %d: the log has no %s, so this test checked too little", *seed, status)
		}
	}
}
