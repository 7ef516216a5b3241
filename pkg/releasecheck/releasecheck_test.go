package releasecheck_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"overplane.dev/leads/pkg/releasecheck"
)

// service answers calls of functions and of CodeDeploy.
type service struct {
	errorOf string   // function that fails
	unlist  int      // how many lists lack the lead
	name    string   // of the retrieved lead
	calls   []string // functions
	status  string   // that CodeDeploy was told
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "PutLifecycleEventHookExecutionStatus") {
		var input struct{ DeploymentID, LifecycleEventHookExecutionID, Status string }
		if err := json.Unmarshal(body, &input); err != nil {
			panic(err)
		}
		s.status = fmt.Sprint(input.DeploymentID, " ", input.LifecycleEventHookExecutionID, " ", input.Status)
		io.WriteString(w, "{}")
		return
	}
	var call struct{ Account, Mode, ID string }
	if err := json.Unmarshal(body, &call); err != nil || call.Account != releasecheck.Account || call.Mode != "test" {
		panic(fmt.Sprintf("call %s: %v", body, err))
	}
	function := strings.Split(r.URL.Path, "/")[3]
	s.calls = append(s.calls, strings.TrimSpace(function+" "+call.ID))
	lead := fmt.Sprintf(`{"id":"lead_1","lead_name":%q}`, s.name)
	switch {
	case function == s.errorOf:
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		io.WriteString(w, `{"errorType":"internal_error"}`)
	case function == "list:7" && s.unlist > 0:
		s.unlist--
		io.WriteString(w, `{"data":[]}`)
	case function == "list:7":
		io.WriteString(w, `{"data":[`+lead+`]}`)
	default:
		io.WriteString(w, lead)
	}
}

func TestCheck(t *testing.T) {
	all := []string{"create:7", "retrieve:7 lead_1", "list:7", "delete:7 lead_1"}
	for _, test := range []struct {
		name   string
		event  releasecheck.Event
		s      service
		calls  []string
		status string
		err    string // part of the error, which is only returned without a deployment
	}{
		{"works", releasecheck.Event{DeploymentID: "d-1", ExecutionID: "e-1"}, service{}, all, "d-1 e-1 Succeeded", ""},
		{"the list is late", releasecheck.Event{DeploymentID: "d-1", ExecutionID: "e-1"}, service{unlist: 1},
			[]string{"create:7", "retrieve:7 lead_1", "list:7", "list:7", "delete:7 lead_1"}, "d-1 e-1 Succeeded", ""},
		{"create fails", releasecheck.Event{DeploymentID: "d-1", ExecutionID: "e-1"}, service{errorOf: "create:7"}, all[:1], "d-1 e-1 Failed", ""},
		{"retrieve fails", releasecheck.Event{}, service{errorOf: "retrieve:7"}, []string{"create:7", "retrieve:7 lead_1", "delete:7 lead_1"}, "", "retrieve:7: Unhandled"},
		{"list fails", releasecheck.Event{}, service{errorOf: "list:7"}, all, "", "list:7: Unhandled"},
		{"delete fails", releasecheck.Event{}, service{errorOf: "delete:7"}, all, "", "delete:7: Unhandled"},
		{"another lead", releasecheck.Event{}, service{name: "other"}, []string{"create:7", "retrieve:7 lead_1", "delete:7 lead_1"}, "", "retrieved as"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.s.name == "" {
				test.s.name = "Release check"
			}
			server := httptest.NewServer(&test.s)
			defer server.Close()
			for name, value := range map[string]string{
				"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
				"CREATE_LEAD": "create:7", "RETRIEVE_LEAD": "retrieve:7", "LIST_LEADS": "list:7", "DELETE_LEAD": "delete:7",
			} {
				t.Setenv(name, value)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := releasecheck.Open(slog.New(slog.DiscardHandler)).Handle(ctx, test.event)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if !slices.Equal(test.s.calls, test.calls) || test.s.status != test.status {
				t.Errorf("calls %q, status %q, want %q, %q", test.s.calls, test.s.status, test.calls, test.status)
			}
		})
	}
}
