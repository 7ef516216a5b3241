package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func convertSource(t *testing.T, old bool) (text []byte, document any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", source))
	if err != nil {
		t.Fatal(err)
	}
	if text, err = convert(text, old); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return text, document
}

func TestServedDocumentIsUpToDate(t *testing.T) {
	served, err := os.ReadFile(filepath.Join("../..", target))
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := convertSource(t, false); !bytes.Equal(served, want) {
		t.Errorf("%s differs from %s: run go generate ./pkg/docs", target, source)
	}
}

// TestDocumentSuitsGenerators checks that the document has nothing that breaks
// generators of clients or makes their clients send values by themselves.
func TestDocumentSuitsGenerators(t *testing.T) {
	_, document := convertSource(t, false)
	forEachMember(document, "", func(path, name string, value any) {
		switch name {
		case "default", "const", "readOnly", "anyOf", "oneOf", "allOf":
			t.Errorf("%s has the member %s", path, name)
		case "maximum":
			if n, ok := value.(float64); !ok || n > 1<<31 {
				t.Errorf("%s has the maximum %v", path, value)
			}
		}
	})
	responses := document.(map[string]any)["components"].(map[string]any)["responses"].(map[string]any)
	for _, methods := range document.(map[string]any)["paths"].(map[string]any) {
		head, ok := methods.(map[string]any)["head"].(map[string]any)
		if !ok {
			continue
		}
		for status, response := range head["responses"].(map[string]any) {
			ref := response.(map[string]any)["$ref"].(string)
			if described := responses[filepath.Base(ref)].(map[string]any); described["content"] != nil {
				t.Errorf("%s: the answer %s has a body", head["operationId"], status)
			}
		}
	}
}

// TestOldDocument checks that the copy has nothing that OpenAPI 3.0.3 lacks.
func TestOldDocument(t *testing.T) {
	_, document := convertSource(t, true)
	if version := document.(map[string]any)["openapi"]; version != "3.0.3" {
		t.Errorf("the version is %v", version)
	}
	nullable := 0
	forEachMember(document, "", func(path, name string, value any) {
		_, isList := value.([]any)
		switch {
		case isList && (name == "type" || name == "examples"), path == "/info" && name == "summary":
			t.Errorf("%s has the member %s", path, name)
		case name == "nullable" && value == true:
			nullable++
		}
	})
	if nullable == 0 {
		t.Error("nothing is nullable")
	}
}

// forEachMember calls f for each member of each object in value.
func forEachMember(value any, path string, f func(path, name string, value any)) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			forEachMember(element, path+"/-", f)
		}
	case map[string]any:
		for name, member := range value {
			f(path, name, member)
			forEachMember(member, path+"/"+name, f)
		}
	}
}
