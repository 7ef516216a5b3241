package leads_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/contract"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/engine/enginetest"
)

// TestPrivilegesAreThoseUsed plays every script of the contract against
// functions whose clients are recorded, and compares what each function did to
// the database with what its statement in template.yaml allows: no more and no
// less.
func TestPrivilegesAreThoseUsed(t *testing.T) {
	endpoint := enginetest.Start(t)
	admin := openTable(endpoint, nil)
	if err := admin.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := contract.MintKeys(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}

	functions := make(map[string]*observed)
	for _, route := range api.Routes() {
		f := &observed{}
		f.table = openTable(endpoint, f)
		f.handler = api.New(api.Config{Leads: f.table, Keys: f.table}).Handler(route)
		functions[route.Name] = f
	}
	door := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		functions[functionOf(r)].handler.ServeHTTP(w, r)
	})
	functions[unmatched] = &observed{handler: api.New(api.Config{}).Handler()}
	contract.Run(t, contract.Target{URL: "http://leads.test", Transport: contract.Handler(door), Keys: keys})

	// No script takes so long that its books are settled, as two days later: a
	// list then keeps their sum.
	functions["list-leads"].table.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://leads.test/api/crm/lead", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+keys[contract.Main])
	if res, err := contract.Handler(door).RoundTrip(r); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the list of two days later: %v, %v", res, err)
	}

	allowed := allowances(t)
	for name, f := range functions {
		t.Run(name, func(t *testing.T) {
			same(t, "what template.yaml allows", allowed[name], f.used)
		})
	}
}

// functionOf returns the function that the HTTP API sends a request to.
func functionOf(r *http.Request) string {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, route := range api.Routes() {
		prefix, isMember := strings.CutSuffix(route.Path, "{id}")
		id, found := strings.CutPrefix(r.URL.EscapedPath(), prefix)
		if route.Method == method && found && (isMember == (id != "")) && !strings.Contains(id, "/") {
			return route.Name
		}
	}
	return unmatched
}

func openTable(endpoint string, seen *observed) *dynamo.Table {
	client := dynamodb.New(dynamodb.Options{
		Region:       "local",
		BaseEndpoint: &endpoint,
		Credentials: sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}, dynamo.Configure, func(o *dynamodb.Options) {
		if seen != nil {
			seen.next, o.HTTPClient = o.HTTPClient, seen
		}
	})
	return dynamo.New(client, "leads")
}

// A privilege is an action, or a resource on which a function acts: of
// permission to do A on X and B on Y, one statement makes both on both.
type privilege string

const (
	onTable privilege = "the table"
	onIndex privilege = "the index created_at"
)

// observed is a function whose requests to the database are seen.
type observed struct {
	handler http.Handler
	table   *dynamo.Table
	next    dynamodb.HTTPClient

	mu   sync.Mutex
	used []privilege
}

// Do implements dynamodb.HTTPClient.
func (f *observed) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	used, err := privilegesOf(operation, body)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range used {
		if !slices.Contains(f.used, u) {
			f.used = append(f.used, u)
		}
	}
	return f.next.Do(r)
}

// privilegesOf returns what IAM asks for before DynamoDB does an operation. A
// transaction needs what each of its parts needs
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html).
func privilegesOf(operation string, body []byte) ([]privilege, error) {
	var input struct {
		IndexName     string
		TransactItems []map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &input); err != nil {
		return nil, err
	}
	resource := onTable
	switch input.IndexName {
	case "":
	case "created_at":
		resource = onIndex
	default:
		return nil, fmt.Errorf("an index of the name %s is not known here", input.IndexName)
	}
	if operation != "TransactWriteItems" {
		return []privilege{privilege("dynamodb:" + operation), resource}, nil
	}
	used := []privilege{resource}
	for _, part := range input.TransactItems {
		for kind := range part { // Put, Update, Delete, ConditionCheck
			used = append(used, privilege("dynamodb:"+kind+"Item"))
		}
	}
	return used, nil
}

// allowances returns what the one statement of each function in template.yaml
// allows.
func allowances(t *testing.T) map[string][]privilege {
	t.Helper()
	var template struct {
		Resources map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Policies []struct {
					Statement []struct {
						Effect   string    `yaml:"Effect"`
						Action   yaml.Node `yaml:"Action"`
						Resource yaml.Node `yaml:"Resource"`
					} `yaml:"Statement"`
				} `yaml:"Policies"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	read(t, "template.yaml", &template)
	allowed := make(map[string][]privilege)
	for name, resource := range template.Resources {
		if resource.Type != "AWS::Serverless::Function" {
			continue
		}
		function := kebab(name)
		allowed[function] = nil
		for _, policy := range resource.Properties.Policies {
			for _, s := range policy.Statement {
				if s.Effect != "Allow" {
					t.Errorf("%s has a statement with the effect %s", name, s.Effect)
				}
				for _, action := range each(&s.Action) {
					if strings.ContainsAny(action.Value, "*?") || action.Value == "dynamodb:Scan" {
						t.Errorf("%s may %s", name, action.Value)
					}
					allowed[function] = append(allowed[function], privilege(action.Value))
				}
				for _, resource := range each(&s.Resource) {
					if resource.Value == "*" {
						t.Errorf("%s has a statement on everything", name)
					}
					allowed[function] = append(allowed[function], on(resource))
				}
			}
		}
	}
	return allowed
}

// each returns the members of a list, or the one that stands for a list.
func each(node *yaml.Node) []*yaml.Node {
	if node.Kind == yaml.SequenceNode {
		return node.Content
	}
	return []*yaml.Node{node}
}

// on names a resource, in the words of this test where it knows it.
func on(resource *yaml.Node) privilege {
	switch text := resource.Tag + " " + resource.Value; text {
	case "!GetAtt Table.Arn":
		return onTable
	case "!Sub ${Table.Arn}/index/created_at":
		return onIndex
	default:
		return privilege(text)
	}
}
