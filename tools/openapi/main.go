// Command openapi writes the OpenAPI document as JSON without YAML aliases,
// which many generators refuse.
//
//	go run ./tools/openapi          writes pkg/docs/openapi.json, which is served
//	go run ./tools/openapi -3.0.3   prints a copy for tools that only know 3.0
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

const (
	source = "pkg/api/openapi.yaml"
	target = "pkg/docs/openapi.json"
)

func main() {
	old := flag.Bool("3.0.3", false, "print the document as OpenAPI 3.0.3")
	flag.Parse()
	if err := run(*old); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run(old bool) error {
	text, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("run this command in the root of the repository: %w", err)
	}
	document, err := convert(text, old)
	if err != nil {
		return err
	}
	if old {
		_, err = os.Stdout.Write(document)
		return err
	}
	return os.WriteFile(target, document, 0o644)
}

// convert returns a YAML document as JSON, with its members in the same order.
// Where old is set, the result is OpenAPI 3.0.3 instead of 3.1.0.
func convert(text []byte, old bool) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	var out bytes.Buffer
	w := writer{jsontext.NewEncoder(&out, jsontext.WithIndent("  ")), old}
	if err := w.write(document.Content[0]); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

type writer struct {
	json *jsontext.Encoder
	old  bool
}

func (w writer) write(node *yaml.Node) error {
	switch node.Kind {
	case yaml.AliasNode:
		return w.write(node.Alias)
	case yaml.MappingNode:
		return w.writeObject(node)
	case yaml.SequenceNode:
		if err := w.json.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, element := range node.Content {
			if err := w.write(element); err != nil {
				return err
			}
		}
		return w.json.WriteToken(jsontext.EndArray)
	}
	if node.ShortTag() == "!!str" {
		return w.json.WriteToken(jsontext.String(node.Value))
	}
	// A null, a boolean or a number is written in YAML as in JSON.
	return w.json.WriteValue(jsontext.Value(node.Value))
}

func (w writer) writeObject(object *yaml.Node) error {
	if err := w.json.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for i := 0; i < len(object.Content); i += 2 {
		name, value := object.Content[i].Value, object.Content[i+1]
		if w.old {
			done, err := w.writeOldMember(name, value)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if err := w.writeMember(name, value); err != nil {
			return err
		}
	}
	return w.json.WriteToken(jsontext.EndObject)
}

func (w writer) writeMember(name string, value *yaml.Node) error {
	if err := w.json.WriteToken(jsontext.String(name)); err != nil {
		return err
	}
	return w.write(value)
}

// writeOldMember writes a member that is different in OpenAPI 3.0.3. It reports
// whether the member is one.
func (w writer) writeOldMember(name string, value *yaml.Node) (bool, error) {
	isList := value.Kind == yaml.SequenceNode
	switch {
	case name == "openapi":
		return true, w.writeMember(name, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "3.0.3"})
	case name == "summary" && strings.HasPrefix(string(w.json.StackPointer()), "/info"):
		return true, nil
	case name == "type" && isList: // a type or null
		if err := w.writeMember(name, value.Content[0]); err != nil {
			return true, err
		}
		return true, w.writeMember("nullable", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	case name == "examples" && isList:
		return true, w.writeMember("example", value.Content[0])
	}
	return false, nil
}
