package template_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/ingest"
	"overplane.dev/leads/pkg/lambdahttp"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/publish"
)

// brokenStores fail all calls, except that no lead exists.
type brokenStores struct{ lead.Store }

var errBroken = errors.New("broken")

func (brokenStores) FindKey(context.Context, string) (apikey.Key, error) {
	return apikey.Key{}, errBroken
}

func (brokenStores) Retrieve(context.Context, lead.Tenant, lead.ID) (lead.Lead, error) {
	return lead.Lead{}, lead.ErrNotFound
}

func (brokenStores) CreateMany(_ context.Context, _ lead.Tenant, requests []lead.CreateRequest) []lead.CreateResult {
	results := make([]lead.CreateResult, len(requests))
	for i := range results {
		results[i].Err = &lead.UnavailableError{Err: errBroken}
	}
	return results
}

func (brokenStores) Put(context.Context, []publish.Event) ([]bool, error) { return nil, errBroken }

// TestMetricFiltersCountLogLines applies the metric filters of template.yaml to
// lines that the code writes and to lines of Lambda itself, see
// https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html.
func TestMetricFiltersCountLogLines(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&lines, nil)).With("release", "v1") // as awsenv.NewLog
	a := api.New(api.Config{Leads: brokenStores{}, Keys: brokenStores{}, Log: log})
	get := func(path, key string) func() {
		return func() {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Authorization", "Bearer "+key)
			a.Handler(api.RetrieveLead).ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	key, _ := apikey.NewKey(lead.Tenant{Account: "acme", Mode: lead.Test}, apikey.Read, time.Now(), time.Time{})
	directCall := func() {
		event := fmt.Appendf(nil, `{"account":"acme","mode":"test","id":%q}`, "lead_01k00000000000000000000000")
		if _, err := lambdahttp.New(a.Handler(api.RetrieveLead), api.RetrieveLead).Invoke(t.Context(), event); err == nil {
			t.Error("the lead exists")
		}
	}
	in := &ingest.Ingester{Tenant: lead.Tenant{Account: "acme", Mode: lead.Test}, Leads: brokenStores{}, Log: log}
	invoke := func(event string) func() {
		return func() { in.Invoke(t.Context(), []byte(event)) }
	}
	publishChange := func() {
		p := publish.Publisher{Bus: brokenStores{}, Log: log}
		event, err := os.ReadFile(root + "events/stream.json")
		if err != nil {
			t.Fatal(err)
		}
		p.Invoke(t.Context(), event)
	}
	report := func(status string) func() {
		return func() {
			fmt.Fprintf(&lines, `{"time":"2026-01-01T00:00:00Z","type":"platform.report","record":{"requestId":"r","metrics":{"durationMs":1},"status":%q}}`+"\n", status)
		}
	}
	filters := readMetricFilters(t)
	for _, test := range []struct {
		name  string
		write func()
		want  map[string]int // lines by metric
	}{
		{"404 of a path", get("/nothing", ""), map[string]int{"Requests": 1}},
		{"401", get("/api/crm/lead/x", ""), map[string]int{"Requests": 1}},
		{"500", get("/api/crm/lead/x", key), map[string]int{"Requests": 1, "ServerErrors": 1}},
		{"resource_missing of a direct call", directCall, map[string]int{"Requests": 1}},
		{"event that fails", invoke(`{"id":"e1","detail-type":"lead.create","detail":{"lead_name":"a"}}`), map[string]int{"Requests": 1, "ServerErrors": 2}},
		{"event without records", invoke(`{"leads":[]}`), map[string]int{"Requests": 1}},
		{"changes that are not published", publishChange, map[string]int{"Requests": 1, "ServerErrors": 1}},
		{"success", report("success"), nil},
		{"error that the function returns", report("error"), nil},
		{"crash", report("failure"), map[string]int{"Crashes": 1}},
		{"timeout", report("timeout"), map[string]int{"Crashes": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines.Reset()
			test.write()
			for metric, pattern := range filters {
				got := 0
				for line := range bytes.Lines(lines.Bytes()) {
					if matchesPattern(t, pattern, line) {
						got++
					}
				}
				if got != test.want[metric] {
					t.Errorf("%s counts %d lines, want %d, of\n%s", metric, got, test.want[metric], lines.Bytes())
				}
			}
		})
	}
}

// readMetricFilters returns the patterns of the metric filters by metric.
func readMetricFilters(t *testing.T) map[string]string {
	t.Helper()
	var template struct {
		Resources map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				FilterPattern         string `yaml:"FilterPattern"`
				MetricTransformations []struct {
					MetricName string `yaml:"MetricName"`
				} `yaml:"MetricTransformations"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	readYAML(t, "template.yaml", &template)
	patterns := map[string]string{}
	for _, r := range template.Resources {
		if r.Type == "AWS::Logs::MetricFilter" {
			patterns[r.Properties.MetricTransformations[0].MetricName] = r.Properties.FilterPattern
		}
	}
	if len(patterns) != 3 {
		t.Fatalf("the template has the metrics %v, want 3", patterns)
	}
	return patterns
}

// comparison matches a part of a pattern such as ($.status >= 500).
var comparison = regexp.MustCompile(`\(\$([.\w]+) (=|>=) (?:"([^"]*)"|(\d+))\)`)

// matchesPattern reports whether a JSON line matches a pattern of CloudWatch Logs:
// comparisons in parentheses, joined by && or ||, and nested, see
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html.
func matchesPattern(t *testing.T, pattern string, line []byte) bool {
	t.Helper()
	var values any
	if err := json.Unmarshal(line, &values); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	text := comparison.ReplaceAllStringFunc(strings.Trim(pattern, "{} "), func(part string) string {
		m := comparison.FindStringSubmatch(part)
		value := values
		for name := range strings.SplitSeq(strings.TrimPrefix(m[1], "."), ".") {
			members, _ := value.(map[string]any)
			value = members[name]
		}
		if m[4] != "" {
			limit, _ := strconv.ParseFloat(m[4], 64)
			number, ok := value.(float64)
			return strconv.FormatBool(ok && (m[2] == "=" && number == limit || m[2] == ">=" && number >= limit))
		}
		s, ok := value.(string)
		return strconv.FormatBool(ok && (m[3] == "*" || s == m[3]))
	})
	// Evaluate the innermost parentheses first. Each contains only one operator.
	for changed := true; changed; {
		before := text
		text = regexp.MustCompile(`\(([^()]*)\)`).ReplaceAllStringFunc(text, func(group string) string {
			return strconv.FormatBool(evaluate(t, strings.Trim(group, "()")))
		})
		changed = text != before
	}
	return evaluate(t, text)
}

func evaluate(t *testing.T, expression string) bool {
	t.Helper()
	and, or := strings.Contains(expression, "&&"), strings.Contains(expression, "||")
	if and && or || strings.Trim(strings.NewReplacer("true", "", "false", "").Replace(expression), "&| ") != "" {
		t.Fatalf("the pattern contains %q, which this test does not know", expression)
	}
	if or {
		return strings.Contains(expression, "true")
	}
	return !strings.Contains(expression, "false")
}
