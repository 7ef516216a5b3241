package contract_test

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/test/contract"
	"overplane.dev/leads/test/localdbtest"
)

// TestScripts runs every script against the address in LEADS_URL or, where
// there is none, against the handlers in memory over a database engine of its
// own. `make smoke` gives the address.
//
//	LEADS_URL        the address, without a slash at its end
//	LEADS_KEY        the key main; without it all keys are created in LEADS_TABLE
//	LEADS_TABLE      the table on AWS, for the user's own credentials
//	LEADS_KEY_NAME   a further key, such as LEADS_KEY_READ_ONLY
//	LEADS_DEVIATIONS the stand-in for AWS behind the address, such as sam-local
//
// A script whose keys are missing fails, or is not run if LEADS_SOME is 1.
func TestScripts(t *testing.T) {
	t.Parallel()
	if url := os.Getenv("LEADS_URL"); url != "" {
		contract.Run(t, address(t, url))
		return
	}
	contract.Run(t, inMemory(t))
}

func address(t *testing.T, url string) contract.Target {
	target := contract.Target{URL: url, Keys: make(map[string]string), MayLackKeys: os.Getenv("LEADS_SOME") == "1"}
	for _, name := range contract.KeyNames {
		if key := os.Getenv(contract.KeyVariable(name)); key != "" {
			target.Keys[name] = key
		}
	}
	if target.Keys[contract.Main] == "" {
		target.Keys = createKeys(t)
	}
	if name := os.Getenv("LEADS_DEVIATIONS"); name != "" {
		target.Deviations = contract.KnownDeviations[name]
		if target.Deviations == nil {
			t.Fatalf("LEADS_DEVIATIONS is %q, which is not in contract.KnownDeviations", name)
		}
	}
	return target
}

// createKeys creates all keys in the table LEADS_TABLE.
func createKeys(t *testing.T) map[string]string {
	t.Helper()
	name := os.Getenv("LEADS_TABLE")
	if name == "" {
		t.Fatal("set LEADS_KEY to an API key of the account in which the scripts may create leads, or LEADS_TABLE to the table of the API")
	}
	settings, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := contract.CreateKeys(t.Context(), dynamo.New(dynamodb.NewFromConfig(settings, dynamo.Configure), name))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func inMemory(t *testing.T) contract.Target {
	leads, keys := newAPI(t)
	return contract.Target{URL: "http://leads.test", Transport: contract.Handler(leads.Handler(api.Routes()...)), Keys: keys}
}

// newAPI returns an API over a database engine of its own, and every key.
func newAPI(t *testing.T) (*api.API, map[string]string) {
	t.Helper()
	client := dynamodb.New(dynamodb.Options{
		Region:       "local",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		BaseEndpoint: aws.String(localdbtest.Start(t)),
	}, dynamo.Configure)
	table := dynamo.New(client, "leads")
	if err := table.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := contract.CreateKeys(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range contract.KeyNames {
		if keys[name] == "" {
			t.Fatalf("there is no key named %s: its scripts would not run", name)
		}
	}
	return api.New(api.Config{Leads: table, Keys: table}), keys
}
