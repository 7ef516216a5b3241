package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
	"overplane.dev/leads/pkg/queue"
)

// The function sends two kinds of messages to its own queue. The message
// attribute contentAttribute distinguishes them from messages that are leads.
const (
	contentAttribute = "leads_content"
	contentRows      = "rows" // a rowsMessage
	contentFile      = "file" // a fileMessage
)

// rowsMessage is the body of a message with some rows of a file.
type rowsMessage struct {
	File File  `json:"file"`
	Rows []row `json:"rows"`
}

type row struct {
	Line int    `json:"line"`
	Lead string `json:"lead"` // the JSON of a create, not parsed yet
}

// fileMessage is the body of a message that says where to continue with a file.
type fileMessage struct {
	File File              `json:"file"`
	From leadfile.Position `json:"from"`
}

// newMessage returns a message to the function's own queue.
func newMessage(content string, body any) queue.Message {
	return queue.Message{Body: string(marshal(body)), Attributes: map[string]string{contentAttribute: content}}
}

// marshal returns the JSON of a type of this file. It cannot fail, because these
// types have only strings and integers.
func marshal(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}

// openMessage returns the records of a message. If the message says where to
// continue with a file, openMessage does that and returns no records.
func (v *invocation) openMessage(ctx context.Context, m sqsMessage) ([]record, error) {
	r := m.record()
	content, ok := m.MessageAttributes[contentAttribute]
	if !ok {
		return []record{r}, nil
	}
	switch aws.ToString(content.StringValue) {
	case contentFile:
		var body fileMessage
		if err := decodeStrict(r.body, &body); err == nil && body.From.Offset > 0 && body.From.Layout != nil {
			return nil, v.splitFile(ctx, body.File, body.From)
		}
	case contentRows:
		var body rowsMessage
		if err := decodeStrict(r.body, &body); err == nil {
			var records []record
			for _, row := range body.Rows {
				records = append(records, body.File.record(row.Line, []byte(row.Lead)))
			}
			return records, nil
		}
	}
	r.err = &lead.SyntaxError{Message: "The message has the attribute " + contentAttribute +
		", which only this function sets, but its body is not what the function writes. Send it without this attribute."}
	return []record{r}, nil
}

// decodeStrict decodes JSON. Unlike [json.Unmarshal] it returns an error if a
// name occurs twice, if a member is unknown, or if a text is not valid Unicode.
func decodeStrict(text []byte, to any) error {
	if !jsontext.Value(text).IsValid() {
		return errors.New("the text is not strict JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

const (
	// rowsPerMessage is two transactions' worth of leads.
	rowsPerMessage = 98

	// bytesPerMessage limits the rows of a message before they are encoded.
	// Encoding can make them six times longer, which still fits into the 1 MB
	// that SQS allows.
	bytesPerMessage = 128 << 10

	// messagesPerInvocation limits the work of one invocation to some seconds.
	// Rejected rows count as one message each.
	messagesPerInvocation = 1000
)

// splitFile sends the rows of a file to the queue, from a position on. After
// messagesPerInvocation messages it leaves the rest of the file to another
// invocation. Only one row and the messages that are not sent yet are in memory.
func (v *invocation) splitFile(ctx context.Context, f File, from leadfile.Position) error {
	ctx, cancel := withMargin(ctx, dlqMargin) // for the other messages of the event
	defer cancel()
	stream, mapping, err := v.Files.Open(ctx, f, from.Start())
	if err != nil {
		return v.rejectFile(ctx, f, err)
	}
	defer stream.Close()
	var settings leadfile.Settings
	if from.Layout == nil {
		if settings, err = v.readSettings(ctx, f, mapping); err != nil {
			return v.rejectFile(ctx, f, err)
		}
	}
	reader, err := leadfile.NewReader(stream, f.Key, settings, from)
	if err == nil {
		err = checkColumns(reader)
	}
	if err != nil {
		return v.rejectFile(ctx, f, err)
	}

	b := batch{invocation: v, file: f, reader: reader}
	for b.count < messagesPerInvocation {
		row, err := reader.Read()
		if err == io.EOF {
			return b.finish(ctx, nil)
		} else if err != nil {
			return err
		}
		if err := b.add(ctx, row); err != nil {
			return err
		}
	}
	next := newMessage(contentFile, fileMessage{f, reader.Position()})
	return b.finish(ctx, &next)
}

// readSettings returns the settings of a file: those in its metadata or, without
// these, those in its folder, or the zero Settings.
func (v *invocation) readSettings(ctx context.Context, f File, metadata string) (s leadfile.Settings, err error) {
	const maxSize = 64 << 10 // they are also in the message that says where to continue
	text, place := []byte(metadata), "the metadata "+mappingMetadata+" of "+f.String()
	if metadata == "" {
		file := File{Bucket: f.Bucket, Key: path.Join(path.Dir(f.Key), settingsName)}
		stream, _, err := v.Files.Open(ctx, file, 0)
		if errors.Is(err, ErrFileGone) {
			return s, nil
		} else if err != nil {
			return s, err
		}
		defer stream.Close()
		if text, err = io.ReadAll(io.LimitReader(stream, maxSize)); err != nil {
			return s, err
		}
		place = file.String()
	}
	if err := decodeStrict(text, &s); err != nil {
		return s, &leadfile.FileError{Message: fmt.Sprintf(`The settings in %s are not valid: %v. Write an object such as {"map":{"Lead Source":"utm_source","Notes":""},"skip_unknown":true}, then upload the file again.`, place, err)}
	}
	return s, nil
}

// checkColumns returns an error if somebody must decide about columns.
func checkColumns(reader *leadfile.Reader) error {
	decisions := map[string]string{}
	for _, d := range leadfile.Undecided(reader.Columns()) {
		decisions[d[0]] = d[1]
	}
	if len(decisions) == 0 {
		return nil
	}
	return &leadfile.FileError{Message: fmt.Sprintf("%d of the columns are not recognised. Upload %s into the same folder with what each becomes, "+
		"then upload the file again; a column without a field is left out:\n%s\nOr write {\"skip_unknown\":true} to leave out all of them.\n\n%s",
		len(decisions), settingsName, marshal(leadfile.Settings{Map: decisions}), leadfile.FormatColumns(reader.Columns()))}
}

// rejectFile sends the name of a file to the DLQ if it can never be read. It
// returns other errors.
func (v *invocation) rejectFile(ctx context.Context, f File, err error) error {
	reason := "The file was replaced or deleted before it was read to its end. A newer version is delivered separately; if there is none, upload the file again."
	if fileErr := (*leadfile.FileError)(nil); errors.As(err, &fileErr) {
		reason = fileErr.Message
	} else if !errors.Is(err, ErrFileGone) {
		return err
	}
	v.stats.rejected++
	r := f.record(0, marshal(f))
	r.err = &lead.SyntaxError{Message: reason}
	return v.sendToDLQ(ctx, []record{r})
}

// batch collects the rows of a file and sends them, ten messages at once.
type batch struct {
	*invocation
	file     File
	reader   *leadfile.Reader
	rows     []row // of the next message
	size     int   // of rows, in bytes
	messages []queue.Message
	rejected []record
	count    int // messages and rejected rows, those that were sent included

	rejectedFile []byte // with rejected rows, not written yet
	rejectedLine int    // line of the first of them
}

func (b *batch) add(ctx context.Context, r leadfile.Row) error {
	if r.Err != nil {
		body := r.JSON
		if body == nil {
			body = r.Text
		}
		rejected := b.file.record(r.Line, body)
		rejected.err = r.Err
		if err := b.keepRejected(ctx, r); err != nil {
			return err
		}
		b.rejected = append(b.rejected, rejected)
		b.stats.rejected++
		b.count++
	} else {
		if b.size+len(r.JSON) > bytesPerMessage {
			b.endMessage()
		}
		b.rows = append(b.rows, row{r.Line, string(r.JSON)})
		b.size += len(r.JSON)
		if len(b.rows) == rowsPerMessage {
			b.endMessage()
		}
	}
	if len(b.messages)+len(b.rejected) < queue.MessagesPerRequest {
		return nil
	}
	return b.send(ctx)
}

// keepRejected adds a row to the file with rejected rows. Each part of a large file
// has files of its own: their names have the line of the first row, so that
// another delivery of the event writes the same files.
func (b *batch) keepRejected(ctx context.Context, r leadfile.Row) error {
	const maxSize = 1 << 20
	if len(b.rejectedFile) == 0 {
		b.rejectedFile, b.rejectedLine = b.reader.RejectedHeader(), r.Line
	}
	_, reason := api.Describe(r.Err)
	b.rejectedFile = b.reader.AppendRejected(b.rejectedFile, r, reason)
	if len(b.rejectedFile) < maxSize {
		return nil
	}
	return b.writeRejected(ctx)
}

func (b *batch) writeRejected(ctx context.Context) error {
	if len(b.rejectedFile) == 0 {
		return nil
	}
	key := fmt.Sprintf("%s%s.%d%s", rejectedPrefix, b.file.Key, b.rejectedLine, b.reader.RejectedExt())
	err := b.Files.Put(ctx, b.file.Bucket, key, b.rejectedFile)
	b.rejectedFile = nil
	return err
}

// endMessage makes a message of the rows until now.
func (b *batch) endMessage() {
	if len(b.rows) == 0 {
		return
	}
	b.messages = append(b.messages, newMessage(contentRows, rowsMessage{b.file, b.rows}))
	b.stats.queued += len(b.rows)
	b.rows, b.size = nil, 0
	b.count++
}

// finish writes and sends everything that is left, and then a last message.
func (b *batch) finish(ctx context.Context, last *queue.Message) error {
	b.endMessage()
	if last != nil {
		b.messages = append(b.messages, *last)
	}
	if err := b.writeRejected(ctx); err != nil {
		return err
	}
	return b.send(ctx)
}

// send sends the rejected rows and the messages until now.
func (b *batch) send(ctx context.Context) error {
	if err := b.sendToDLQ(ctx, b.rejected); err != nil {
		return err
	}
	if len(b.messages) > 0 {
		if err := b.Queue.Send(ctx, b.messages); err != nil {
			return err
		}
	}
	b.messages, b.rejected = nil, nil
	return nil
}
