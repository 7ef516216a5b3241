package template_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/contract"
	"overplane.dev/leads/test/localdbtest"
)

// TestPrivilegesAreThoseUsed plays every script of the contract against
// functions whose clients are recorded, and compares what each function did to
// the database with what its statement in template.yaml allows: no more and no
// less.
func TestPrivilegesAreThoseUsed(t *testing.T) {
	endpoint := localdbtest.Start(t)
	admin := openTable(endpoint, nil)
	if err := admin.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := contract.CreateKeys(t.Context(), admin)
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

	// No script takes so long that its books are settled, as after hours of
	// creates: a list then keeps their sum.
	now := time.Now()
	for _, name := range []string{"create-lead", "list-leads"} {
		functions[name].table.Now = func() time.Time { return now }
	}
	send := func(method, body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://leads.test/api/crm/lead", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+keys[contract.Main])
		r.Header.Set("Content-Type", "application/json")
		if res, err := contract.Handler(door).RoundTrip(r); err != nil || res.StatusCode != want {
			t.Fatalf("%s: %v, %v", method, res, err)
		}
	}
	for range 24 {
		now = now.Add(10 * time.Minute)
		send(http.MethodPost, "{}", http.StatusCreated)
	}
	send(http.MethodGet, "", http.StatusOK)

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
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}, dynamo.Configure, func(o *dynamodb.Options) {
		if seen != nil {
			seen.next, o.HTTPClient = o.HTTPClient, seen
		}
	})
	return dynamo.New(client, "leads")
}

// A privilege is an action on a resource, which goes by its name in
// template.yaml.
type privilege struct{ action, resource string }

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
	resource := "Table"
	if input.IndexName != "" {
		resource += "/index/" + input.IndexName
	}
	if operation != "TransactWriteItems" {
		return []privilege{{"dynamodb:" + operation, resource}}, nil
	}
	var used []privilege
	for _, part := range input.TransactItems {
		for kind := range part { // Put, Update, Delete, ConditionCheck
			used = append(used, privilege{"dynamodb:" + kind + "Item", resource})
		}
	}
	return used, nil
}

// template is of template.yaml what privileges are about.
type template struct {
	Resources map[string]struct {
		Type       string     `yaml:"Type"`
		Properties properties `yaml:"Properties"`
	} `yaml:"Resources"`
}

// properties are those of any resource.
type properties struct {
	Policies []struct {
		Statement []statement `yaml:"Statement"`
	} `yaml:"Policies"`
	Environment struct {
		Variables map[string]yaml.Node `yaml:"Variables"`
	} `yaml:"Environment"`

	// What else a function's events, its event source mappings and its queues
	// have, see privilege_events_test.go.
	BucketName        string      `yaml:"BucketName"`
	FunctionName      yaml.Node   `yaml:"FunctionName"`
	EventSource       yaml.Node   `yaml:"EventSourceArn"`
	DestinationConfig destination `yaml:"DestinationConfig"`
	EventInvokeConfig struct {
		DestinationConfig destination `yaml:"DestinationConfig"`
	} `yaml:"EventInvokeConfig"`
	Events map[string]struct {
		Type       string `yaml:"Type"`
		Properties struct {
			Topic         yaml.Node `yaml:"Topic"`
			RedrivePolicy struct {
				Queue yaml.Node `yaml:"deadLetterTargetArn"`
			} `yaml:"RedrivePolicy"`
			DeadLetterConfig struct {
				Queue yaml.Node `yaml:"Arn"`
			} `yaml:"DeadLetterConfig"`
		} `yaml:"Properties"`
	} `yaml:"Events"`
	Queues         []yaml.Node `yaml:"Queues"`
	PolicyDocument struct {
		Statement []statement `yaml:"Statement"`
	} `yaml:"PolicyDocument"`
}

type statement struct {
	Effect    string                          `yaml:"Effect"`
	Principal map[string]string               `yaml:"Principal"`
	Action    yaml.Node                       `yaml:"Action"`
	Resource  yaml.Node                       `yaml:"Resource"`
	Condition map[string]map[string]yaml.Node `yaml:"Condition"`
}

type destination struct {
	OnFailure struct {
		Queue yaml.Node `yaml:"Destination"`
	} `yaml:"OnFailure"`
}

func readTemplate(t *testing.T) (all template) {
	t.Helper()
	read(t, "template.yaml", &all)
	return all
}

// allowances returns what the statements of each function in template.yaml
// allow.
func allowances(t *testing.T) map[string][]privilege {
	t.Helper()
	allowed := make(map[string][]privilege)
	for name, resource := range readTemplate(t).Resources {
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
				allowed[function] = append(allowed[function], s.privileges(t, name)...)
			}
		}
	}
	return allowed
}

// privileges returns each action that a statement allows, with each resource.
func (s *statement) privileges(t *testing.T, whose string) (all []privilege) {
	t.Helper()
	for _, action := range each(&s.Action) {
		if strings.ContainsAny(action.Value, "*?") || action.Value == "dynamodb:Scan" {
			t.Errorf("%s may %s", whose, action.Value)
		}
		for _, resource := range each(&s.Resource) {
			if resource.Value == "*" {
				t.Errorf("%s has a statement on everything", whose)
			}
			all = append(all, privilege{action.Value, named(resource)})
		}
	}
	return all
}

// each returns the members of a list, or the one that stands for a list.
func each(node *yaml.Node) []*yaml.Node {
	if node.Kind == yaml.SequenceNode {
		return node.Content
	}
	return []*yaml.Node{node}
}

// named returns the name in template.yaml of what a node refers to: Queue of
// !Ref Queue and !GetAtt Queue.Arn.
func named(node *yaml.Node) string {
	switch node.Tag {
	case "!Ref", "!GetAtt":
		return strings.TrimSuffix(node.Value, ".Arn")
	case "!Sub":
		return strings.NewReplacer("${Table.Arn}", "Table", "arn:${AWS::Partition}:s3:::"+bucketName, "ImportBucket").Replace(node.Value)
	}
	return node.Value
}

// bucketName is the name of the ImportBucket, which others know before it is
// made.
const bucketName = "${AWS::StackName}-imports-${AWS::AccountId}"
