package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
)

// errUnexpected returns the error of an event that the function does not accept.
func errUnexpected(format string, args ...any) error {
	return &lead.SyntaxError{Message: "The function does not accept this event: " + fmt.Sprintf(format, args...) + ". " +
		"Send one of: a batch of SQS messages, SNS notifications or S3 ObjectCreated notifications " +
		`({"Records":[...]}, all of one kind, or only the list, as EventBridge Pipes sends it), ` +
		`an EventBridge event ({"id":...,"detail-type":...,"detail":{...}}), ` +
		`or a call with many leads ({"leads":[...],"idempotency_key":...}).`}
}

// parseEvent parses the payload of an invocation. The kind of the event depends
// only on its outermost members, never on the content of a record.
//
// A name that occurs twice in one object is an error, because encoding/json
// would use the last of the two. Inside a lead it rejects only this lead, see
// [lead.ParseChanges]. The same holds for invalid Unicode, see [unquote].
func parseEvent(payload []byte) (event, error) {
	if jsontext.Value(payload).Kind() == '[' {
		if !hasUniqueNames(payload) {
			return nil, errNameTwice
		}
		return parseRecords(payload)
	}
	members, err := parseMembers(payload)
	if err != nil {
		return nil, err
	}
	for name, value := range members {
		if name != "leads" && name != "detail" && !hasUniqueNames(value) {
			return nil, errNameTwice
		}
	}
	switch {
	case has(members, "Records"):
		if len(members) > 1 {
			return nil, errUnexpected("it has other members beside Records")
		}
		return parseRecords(members["Records"])
	case has(members, "leads"):
		return parseCall(members)
	case has(members, "detail-type", "detail", "id"):
		return parseEventBridge(payload)
	}
	return nil, errUnexpected("it has neither Records nor leads nor detail-type")
}

var errNameTwice = errUnexpected("it is not valid JSON, or a name occurs twice in one object")

// parseMembers returns the members of a JSON object, in which no name may occur
// twice. Objects in its members are not checked.
func parseMembers(object []byte) (map[string]json.RawMessage, error) {
	if !jsontext.Value(object).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) {
		return nil, errUnexpected("it is not valid JSON")
	}
	d := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, errUnexpected("it is not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		name := t.String() // before the next read, which changes t
		value, valueErr := d.ReadValue()
		if err != nil || valueErr != nil {
			return nil, errUnexpected("it is not valid JSON")
		}
		if has(members, name) {
			return nil, errNameTwice
		}
		members[name] = json.RawMessage(value.Clone())
	}
	return members, nil
}

// hasUniqueNames reports whether a value is valid JSON in which no name occurs
// twice in one object.
func hasUniqueNames(value []byte) bool {
	return jsontext.Value(value).IsValid(jsontext.AllowInvalidUTF8(true))
}

// parseRecords parses a list of records, which must all be from one source.
func parseRecords(list json.RawMessage) (event, error) {
	type source struct {
		Name    string `json:"eventSource"`
		NameSNS string `json:"EventSource"` // SNS writes it so
	}
	var sources []source
	if err := json.Unmarshal(list, &sources); err != nil || len(sources) == 0 {
		return nil, errUnexpected("it has no list of records")
	}
	for _, s := range sources {
		if s != sources[0] {
			return nil, errUnexpected("its records are from several sources")
		}
	}
	switch name := sources[0].Name + sources[0].NameSNS; name {
	case "aws:sqs":
		return parseSQS(list)
	case "aws:sns":
		return parseSNS(list)
	case "aws:s3":
		return parseS3(list)
	default:
		return nil, errUnexpected("its records are from the source %.40q", name)
	}
}

// has reports whether an object has all these members.
func has(object map[string]json.RawMessage, names ...string) bool {
	for _, name := range names {
		if _, ok := object[name]; !ok {
			return false
		}
	}
	return true
}

// wrapperHint returns what to do if the body of a rejected record is not a lead
// but an event of AWS, which may contain one. It returns "" for other bodies.
func wrapperHint(body []byte) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return ""
	}
	switch {
	case has(members, "Type", "TopicArn", "Message"):
		return "The lead is inside an SNS notification: enable raw message delivery for the subscription of the queue."
	case has(members, "detail-type", "detail"):
		return "The lead is inside an EventBridge event: let the rule send only $.detail (InputPath)."
	case has(members, "Records"), has(members, "Service", "Event", "Bucket"):
		return "This is a notification, for example of S3, and not a lead: let the bucket call the function directly."
	case has(members, "requestPayload", "requestContext"):
		return "This is an event that Lambda could not deliver, and not a lead: call the function with its requestPayload."
	}
	return ""
}
