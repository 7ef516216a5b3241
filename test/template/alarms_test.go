package template_test

import (
	"os"
	"strings"
	"testing"
)

// TestEveryAlarmIsDocumented looks for the name of each alarm in
// docs/operations.md, so that an operator finds what to do.
func TestEveryAlarmIsDocumented(t *testing.T) {
	var template struct {
		Resources map[string]struct {
			Type string `yaml:"Type"`
		} `yaml:"Resources"`
	}
	readYAML(t, "template.yaml", &template)
	text, err := os.ReadFile(root + "docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	alarms := 0
	for name, resource := range template.Resources {
		if resource.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		alarms++
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/operations.md does not say what to do about %s", name)
		}
	}
	if alarms == 0 {
		t.Error("template.yaml has no alarm")
	}
}
