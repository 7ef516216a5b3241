// Package rehearsal tells other tools of the stack that tools/rehearse has
// deployed, for as long as it is there.
package rehearsal

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Outputs is the file of the stack's outputs, as "sam list stack-outputs
// --output json" prints them.
var Outputs = filepath.Join(".aws-sam", "rehearsal-outputs.json")

var endpointFile = filepath.Join(".aws-sam", "rehearsal-endpoint")

// Region is where the stack is, in name: no call leaves this machine.
const Region = "eu-west-1"

// HealthPath is where the emulator answers when it is there.
const HealthPath = "/_ministack/health"

// Announce says that a stack with these outputs is there, on the emulator of AWS
// at this address.
func Announce(endpoint string, outputs []byte) error {
	return errors.Join(os.WriteFile(Outputs, outputs, 0o644), os.WriteFile(endpointFile, []byte(endpoint), 0o644))
}

// Withdraw says that there is no stack any more. Where it cannot, Find sees that
// the emulator is gone.
func Withdraw() { os.Remove(endpointFile) }

// Find returns the address of the emulator that has a stack, if there is one.
func Find(ctx context.Context) (endpoint string, ok bool) {
	text, err := os.ReadFile(endpointFile)
	if err != nil {
		return "", false
	}
	endpoint = string(text)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+HealthPath, nil)
	if err != nil {
		return "", false
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", false
	}
	res.Body.Close()
	return endpoint, true
}

// Environment returns the variables that make the SDKs and tools of AWS speak to
// the emulator, as NAME=value.
func Environment(endpoint string) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}
}
