package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
)

// batch is some messages of one queue of SQS, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html.
type batch []message

type message struct {
	ID         string         `json:"messageId"`
	Body       jsontext.Value `json:"body"`
	Queue      string         `json:"eventSourceARN"`
	Attributes attributes     `json:"messageAttributes"`
	System     struct {
		Group         string `json:"MessageGroupId"`
		Deduplication string `json:"MessageDeduplicationId"`
	} `json:"attributes"`
}

func (batch) kind() string { return "sqs" }

func (b batch) check() error {
	for _, m := range b {
		if m.ID == "" || m.Body.Kind() != '"' {
			return unexpected("a message has no messageId or no text as its body")
		}
	}
	return nil
}

// handle makes leads of all messages and reports those that are to be delivered
// again. In a FIFO queue a message waits for those before it in its group: after
// the first failure the rest of the group is reported unseen.
func (b batch) handle(d *delivery) ([]byte, error) {
	type item struct {
		ID string `json:"itemIdentifier"`
	}
	failures := []item{}
	if strings.HasSuffix(b[0].Queue, ".fifo") {
		stopped := map[string]bool{}
		for _, m := range b {
			group := m.System.Group
			if stopped[group] || !b.take(d, m)[0] {
				stopped[group] = true
				failures = append(failures, item{m.ID})
			}
		}
	} else {
		for i, ok := range b.take(d, b...) {
			if !ok {
				failures = append(failures, item{b[i].ID})
			}
		}
	}
	return json.Marshal(struct {
		Failures []item `json:"batchItemFailures"`
	}{failures})
}

// take makes leads of messages, together, and reports which are done with.
func (batch) take(d *delivery, messages ...message) []bool {
	ok := make([]bool, len(messages))
	var records []record
	var of []int
	for i, m := range messages {
		content, isOurs := m.Attributes.get(contentAttribute)
		switch ours, err := d.openContent(m, content, isOurs); {
		case err != nil:
			d.fail("SQS message "+m.ID, err)
		default:
			ok[i] = true
			for _, r := range ours {
				records, of = append(records, r), append(of, i)
			}
		}
	}
	for j, o := range d.admit(records) {
		if o.Err != nil && !refused(o.Err) {
			ok[of[j]] = false
		}
	}
	return ok
}

// record returns the message as one record.
func (m *message) record() record {
	r := record{body: text(m.Body), id: m.ID, origin: "SQS message " + m.ID + " of " + m.Queue}
	r.once, r.err = named("sqs", m.ID, m.Attributes)
	if id := m.System.Deduplication; id != "" && strings.HasPrefix(r.once.Key, "id/") && id != contentID(r.body) {
		r.once.Key = "deduplication/" + m.Queue + "/" + m.System.Group + "/" + id
	}
	return r
}

// contentID is the deduplication id that a FIFO queue makes of a body where the
// sender gave none (ContentBasedDeduplication). It names no record: the queue
// drops the same body for five minutes, and one that it lets through after that
// is another message, and another lead. Who means the same one says so.
func contentID(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

var errContent = &lead.SyntaxError{Message: "The message says that it is of this function's own making, but it is not. Send it without the attribute " + contentAttribute + "."}
