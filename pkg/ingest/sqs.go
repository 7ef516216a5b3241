package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/plainjson"
)

// batch is some messages of one queue of SQS, see
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html.
type batch []message

type message struct {
	id            string
	body          jsontext.Value // a JSON string
	queue         string         // its ARN
	attributes    attributes     // the sender's
	group         string         // of a FIFO queue, as the next
	deduplication string
}

func readBatch(d *jsontext.Decoder) (batch, error) { return plainjson.List(d, readMessage) }

func readMessage(d *jsontext.Decoder) (m message, err error) {
	err = plainjson.Object(d, m.member)
	return m, err
}

// member reads what follows the name of a member.
func (m *message) member(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "messageId":
		m.id, err = plainjson.String(d)
	case "body":
		m.body, err = plainjson.Value(d)
	case "eventSourceARN":
		m.queue, err = plainjson.String(d)
	case "messageAttributes":
		m.attributes, err = readAttributes(d)
	case "attributes":
		err = plainjson.Object(d, m.systemAttribute)
	default:
		err = d.SkipValue()
	}
	return err
}

func (m *message) systemAttribute(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "MessageGroupId":
		m.group, err = plainjson.String(d)
	case "MessageDeduplicationId":
		m.deduplication, err = plainjson.String(d)
	default:
		err = d.SkipValue()
	}
	return err
}

func (batch) kind() string { return "sqs" }

func (b batch) check() error {
	for _, m := range b {
		if m.id == "" || m.body.Kind() != '"' {
			return unexpected("a message has no messageId or no text as its body")
		}
	}
	return nil
}

// handle makes leads of all messages and reports those that are to be delivered
// again. In a FIFO queue a message waits for those before it in its group: after
// the first failure the rest of the group is reported unseen.
func (b batch) handle(d *delivery) ([]byte, error) {
	var failed []message
	if strings.HasSuffix(b[0].queue, ".fifo") {
		stopped := map[string]bool{}
		for _, m := range b {
			if stopped[m.group] || !b.take(d, m)[0] {
				stopped[m.group] = true
				failed = append(failed, m)
			}
		}
	} else {
		for i, ok := range b.take(d, b...) {
			if !ok {
				failed = append(failed, b[i])
			}
		}
	}
	answer := []byte(`{"batchItemFailures":[`)
	for i, m := range failed {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(answer, `{"itemIdentifier":`...)
		answer = append(plainjson.AppendString(answer, m.id), '}')
	}
	return append(answer, "]}"...), nil
}

// take makes leads of messages, together, and reports which are done with.
func (batch) take(d *delivery, messages ...message) []bool {
	ok := make([]bool, len(messages))
	var records []record
	var of []int
	for i, m := range messages {
		ours, err := d.openContent(m)
		if err != nil {
			d.fail("SQS message "+m.id, err)
			continue
		}
		ok[i] = true
		for _, r := range ours {
			records, of = append(records, r), append(of, i)
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
	r := record{body: text(m.body), id: m.id, origin: "SQS message " + m.id + " of " + m.queue}
	r.once, r.err = named("sqs", m.id, m.attributes)
	if id := m.deduplication; id != "" && strings.HasPrefix(r.once.Key, "id/") && id != contentID(r.body) {
		r.once.Key = "deduplication/" + m.queue + "/" + m.group + "/" + id
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
