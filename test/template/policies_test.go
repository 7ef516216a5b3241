package template_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.yaml.in/yaml/v3"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/docs"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/contract"
	"overplane.dev/leads/test/localdbtest"
)

// TestPoliciesAllowExactlyWhatIsUsed runs every script of the contract against
// functions whose requests to the database are recorded. Their policies in
// template.yaml must allow these requests and nothing else.
func TestPoliciesAllowExactlyWhatIsUsed(t *testing.T) {
	endpoint := localdbtest.Start(t)
	admin := openTable(endpoint, nil)
	if err := admin.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := contract.CreateKeys(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}

	functions := make(map[string]*recordedFunction)
	for _, route := range api.Routes() {
		f := &recordedFunction{}
		f.table = openTable(endpoint, f)
		f.handler = api.New(api.Config{Leads: f.table, Keys: f.table}).Handler(route)
		functions[route.Name] = f
	}
	gateway := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		functions[functionOf(r)].handler.ServeHTTP(w, r)
	})
	functions[unmatched] = &recordedFunction{handler: api.New(api.Config{}).Handler()}
	functions[documentation] = &recordedFunction{handler: api.New(api.Config{}).Handler(docs.Routes()...)}
	contract.Run(t, contract.Target{URL: "http://leads.test", Transport: contract.Handler(gateway), Keys: keys})

	// After hours of creates a list stores the sum of their counters. No script
	// takes that long.
	now := time.Now()
	for _, name := range []string{"create-lead", "list-leads"} {
		functions[name].now = func() time.Time { return now }
		functions[name].table.Now = functions[name].now
	}
	send := func(method, body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://leads.test/api/crm/lead", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+keys[contract.Main])
		r.Header.Set("Content-Type", "application/json")
		if res, err := contract.Handler(gateway).RoundTrip(r); err != nil || res.StatusCode != want {
			t.Fatalf("%s: %v, %v", method, res, err)
		}
	}
	for range 24 {
		now = now.Add(10 * time.Minute)
		send(http.MethodPost, "{}", http.StatusCreated)
	}
	for range 2 { // the second knows the time of the database
		send(http.MethodGet, "", http.StatusOK)
	}

	allowed := allowedPermissions(t)
	for name, f := range functions {
		t.Run(name, func(t *testing.T) {
			compareLists(t, "the policy", allowed[name], f.used)
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

func openTable(endpoint string, recorder *recordedFunction) *dynamo.Table {
	return dynamo.New(openClient(endpoint, recorder), "leads")
}

func openClient(endpoint string, recorder *recordedFunction) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "local",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}, dynamo.Configure, func(o *dynamodb.Options) {
		if recorder != nil {
			recorder.next, o.HTTPClient = o.HTTPClient, recorder
		}
	})
}

// A permission is an action on a resource. The resource has its name in
// template.yaml. A write of the table has the partition keys that it may reach.
type permission struct{ action, resource, keys string }

// keysOfTenants are the partition keys of all items but those of API keys.
const keysOfTenants = "keys of tenants"

// writesOfTable are the actions that have a permission with keys.
var writesOfTable = []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"}

// A recordedFunction is a function whose requests to the database are recorded.
type recordedFunction struct {
	handler http.Handler
	table   *dynamo.Table
	next    dynamodb.HTTPClient
	now     func() time.Time // the clock of DynamoDB, if it is another than the engine's

	mu   sync.Mutex
	used []permission
}

// Do implements dynamodb.HTTPClient.
func (f *recordedFunction) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	used, err := permissionsOf(operation, body)
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
	response, err := f.next.Do(r)
	if err == nil && f.now != nil {
		response.Header.Set("Date", f.now().UTC().Format(http.TimeFormat))
	}
	return response, err
}

// permissionsOf returns the permissions that an operation of DynamoDB needs. A
// transaction needs those of each of its parts
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html).
func permissionsOf(operation string, body []byte) ([]permission, error) {
	type write struct {
		Key, Item struct{ PK struct{ S string } }
	}
	var input struct {
		write
		IndexName     string
		TransactItems []map[string]write
	}
	if err := json.Unmarshal(body, &input); err != nil {
		return nil, err
	}
	resource := "Table"
	if input.IndexName != "" {
		resource += "/index/" + input.IndexName
	}
	permissionOf := func(operation string, w write) permission {
		p := permission{action: "dynamodb:" + operation, resource: resource}
		if slices.Contains(writesOfTable, p.action) {
			p.keys = w.Key.PK.S + w.Item.PK.S
			if tenantKey.MatchString(p.keys) {
				p.keys = keysOfTenants
			}
		}
		return p
	}
	if operation != "TransactWriteItems" {
		return []permission{permissionOf(operation, input.write)}, nil
	}
	var used []permission
	for _, part := range input.TransactItems {
		for kind, w := range part { // Put, Update, Delete, ConditionCheck
			used = append(used, permissionOf(kind+"Item", w))
		}
	}
	return used, nil
}

var tenantKey = regexp.MustCompile(`^[a-z0-9-]+/(test|live)/`)

// A template is the part of template.yaml that has to do with permissions.
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

	// Of functions' events, event source mappings and queues, see policies_events_test.go.
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
	Roles          []yaml.Node `yaml:"Roles"`
	PolicyDocument struct {
		Statement []statement `yaml:"Statement"`
	} `yaml:"PolicyDocument"`
}

type statement struct {
	Effect    string                          `yaml:"Effect"`
	Principal yaml.Node                       `yaml:"Principal"`
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
	readYAML(t, "template.yaml", &all)
	return all
}

// allowedPermissions returns the permissions of each function in template.yaml.
func allowedPermissions(t *testing.T) map[string][]permission {
	t.Helper()
	allowed := make(map[string][]permission)
	allow := func(function, owner string, statements []statement) {
		for _, s := range statements {
			if s.Effect != "Allow" {
				t.Errorf("%s has a statement with the effect %s", owner, s.Effect)
			}
			allowed[function] = append(allowed[function], s.permissions(t, owner)...)
		}
	}
	for name, resource := range readTemplate(t).Resources {
		switch resource.Type {
		case "AWS::Serverless::Function":
			for _, policy := range resource.Properties.Policies {
				allow(kebab(name), name, policy.Statement)
			}
		case "AWS::IAM::Policy":
			for _, role := range resource.Properties.Roles { // SAM calls the role of a function NameRole
				allow(kebab(strings.TrimSuffix(resourceOf(&role), "Role")), name, resource.Properties.PolicyDocument.Statement)
			}
		}
	}
	return allowed
}

// permissions returns each action of a statement on each resource.
func (s *statement) permissions(t *testing.T, owner string) (all []permission) {
	t.Helper()
	for _, action := range elementsOf(&s.Action) {
		if strings.ContainsAny(action.Value, "*?") || action.Value == "dynamodb:Scan" {
			t.Errorf("%s may %s", owner, action.Value)
		}
		for _, resource := range elementsOf(&s.Resource) {
			if resource.Value == "*" {
				t.Errorf("%s has a statement on all resources", owner)
			}
			all = append(all, permission{action.Value, resourceOf(resource), s.keys(t, owner, action.Value)})
		}
	}
	return all
}

// keys returns the partition keys that the statement allows an action to write.
func (s *statement) keys(t *testing.T, owner, action string) string {
	t.Helper()
	if !slices.Contains(writesOfTable, action) {
		return ""
	}
	allowed := s.Condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
	if len(s.Condition) != 1 || allowed.IsZero() {
		t.Errorf("%s may %s of any item", owner, action)
	}
	var patterns []string
	for _, pattern := range elementsOf(&allowed) {
		patterns = append(patterns, pattern.Value)
	}
	switch strings.Join(patterns, " ") {
	case "*/test/* */live/*", "${EventAccount}/${EventMode}/*":
		return keysOfTenants
	}
	return strings.Join(patterns, " ")
}

// elementsOf returns the elements of a list, or the node itself if it is no list.
func elementsOf(node *yaml.Node) []*yaml.Node {
	if node.Kind == yaml.SequenceNode {
		return node.Content
	}
	return []*yaml.Node{node}
}

// resourceOf returns the name of the resource that a node refers to: Queue for
// !Ref Queue and !GetAtt Queue.Arn, and Bucket/* for !Sub ${Bucket.Arn}/*.
func resourceOf(node *yaml.Node) string {
	switch node.Tag {
	case "!Ref", "!GetAtt":
		return strings.TrimSuffix(node.Value, ".Arn")
	case "!Sub":
		return regexp.MustCompile(`\$\{(\w+)\.Arn\}`).ReplaceAllString(node.Value, "$1")
	}
	return node.Value
}

// TestFunctionsKnowTheFilters checks that all functions get the parameter Filters.
func TestFunctionsKnowTheFilters(t *testing.T) {
	var template struct {
		Globals struct {
			Function properties `yaml:"Function"`
		} `yaml:"Globals"`
	}
	readYAML(t, "template.yaml", &template)
	filters := template.Globals.Function.Environment.Variables["LEADS_FILTERS"]
	if got := resourceOf(&filters); got != "Filters" {
		t.Errorf("the functions have the filters %q, want those of the parameter Filters", got)
	}
}
