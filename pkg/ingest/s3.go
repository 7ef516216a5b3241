package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/rows"
)

// Files opens files in S3.
type Files interface {
	// Open returns a file from an offset on, or a [*GoneError] where there is
	// no such version of it any more.
	Open(ctx context.Context, f File, offset int64) (io.ReadCloser, error)
}

// File is one version of an object in S3.
type File struct {
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	Version string `json:"version,omitzero"` // "" in a bucket without versions
	ETag    string `json:"etag"`
}

func (f File) String() string { return "s3://" + f.Bucket + "/" + f.Key }

// once returns the name of what stands in a line of the file.
func (f File) once(line int) lead.Once {
	version := f.Version
	if version == "" || version == "null" { // of a bucket that stopped keeping versions
		version = f.ETag
	}
	// A key may hold any character; a bucket and a version hold no slash.
	return lead.Once{Source: "s3", Key: fmt.Sprintf("%s/%s/%d/%s", f.Bucket, version, line, f.Key), Keep: Keep}
}

func (f File) record(line int) record {
	once := f.once(line)
	return record{once: once, id: once.Key, origin: fmt.Sprintf("%s line %d", f, line)}
}

// GoneError is the error of a file that was replaced or removed.
type GoneError struct{ Err error }

func (e *GoneError) Error() string { return "the file is gone: " + e.Err.Error() }

// Unwrap returns the error of S3.
func (e *GoneError) Unwrap() error { return e.Err }

// files are notifications of S3, see
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html.
type files []notification

type notification struct {
	Name string `json:"eventName"`
	S3   struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key     string `json:"key"` // as in the query of a URL
			Version string `json:"versionId"`
			ETag    string `json:"eTag"`
		} `json:"object"`
	} `json:"s3"`
}

func (files) kind() string { return "s3" }

func (all files) check() error {
	for _, n := range all {
		switch o := n.S3.Object; {
		// s3:… in notifications that come by way of SNS or SQS.
		case !strings.HasPrefix(strings.TrimPrefix(n.Name, "s3:"), "ObjectCreated:"):
			return unexpected("its event %.60q is no ObjectCreated", n.Name)
		case n.S3.Bucket.Name == "" || o.Key == "" || o.ETag == "":
			return unexpected("a notification lacks the bucket's name, the key or the eTag")
		}
	}
	return nil
}

func (all files) handle(d *delivery) ([]byte, error) {
	for _, n := range all {
		o := n.S3.Object
		key, err := url.QueryUnescape(o.Key)
		if err != nil {
			return nil, unexpected("a key is not encoded as S3 encodes keys")
		}
		if strings.HasSuffix(key, "/") { // a folder, as the console makes one
			continue
		}
		if err := d.walk(File{n.S3.Bucket.Name, key, o.Version, o.ETag}, rows.Position{}); err != nil {
			return nil, &lead.BusyError{RetryAfter: time.Second, Err: err}
		}
	}
	return nil, nil
}

// What the function puts into its own queue: some rows of a file, or a file to
// be read on. An attribute tells such a message from one that is a lead.
const (
	contentAttribute = "leads_content"
	contentRows      = "rows"
	contentFile      = "file"
)

type rowsContent struct {
	File File  `json:"file"`
	Rows []row `json:"rows"`
}

type row struct {
	Line int    `json:"line"`
	Lead string `json:"lead"` // the JSON of a create, not yet judged
}

type fileContent struct {
	File File          `json:"file"`
	From rows.Position `json:"from"`
}

const (
	// A message of rows has two transactions' worth, or less where rows are
	// long: SQS bounds a request of up to ten messages. 256 KB is what it took
	// before it took 1 MB, and what other queues that speak its protocol take.
	rowsPerMessage   = 98
	bytesPerMessage  = 128 << 10
	bytesPerRequest  = 256 << 10
	messagesPerBatch = 10

	// walkMessages is how many messages a file becomes before the rest of it is
	// left to another invocation: some seconds' work, whatever the file's size.
	walkMessages = 1000
)

// walk puts the rows of a file, from a position on, into the queue. The file is
// never held: one row is, and the messages not yet sent.
func (d *delivery) walk(f File, from rows.Position) error {
	refuse := func(why error) error {
		d.refused++
		r := f.record(0)
		r.body, _ = json.Marshal(f)
		return d.bury([]letter{{r, why}})
	}
	format, err := rows.FormatOf(f.Key)
	if err != nil {
		return refuse(&lead.SyntaxError{Message: "The file cannot be read: " + err.Error() + "."})
	}
	stream, err := d.Files.Open(d.work, f, from.Offset)
	if gone := (*GoneError)(nil); errors.As(err, &gone) {
		return refuse(&lead.SyntaxError{Message: "The file was replaced or removed before it was read to its end. A newer version has a delivery of its own; if there is none, upload the file again."})
	} else if err != nil {
		return err
	}
	defer stream.Close()
	reader, err := rows.NewReader(stream, format, from)
	if header := (*rows.HeaderError)(nil); errors.As(err, &header) {
		return refuse(&lead.SyntaxError{Message: header.Message})
	} else if err != nil {
		return err
	}
	p := parcel{delivery: d, file: f}
	for p.packed < walkMessages {
		r, err := reader.Read()
		if err == io.EOF {
			return p.flush()
		} else if err != nil {
			return err
		}
		if err := p.add(r); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	body, err := json.Marshal(fileContent{f, reader.Position()})
	if err != nil {
		return err
	}
	return d.Queue.Send(d.work, []Message{{Body: string(body), Attributes: map[string]string{contentAttribute: contentFile}}})
}

// parcel packs rows into messages and sends them.
type parcel struct {
	*delivery
	file    File
	rows    []row
	size    int // of rows
	letters []letter
	ready   []Message
	bytes   int // of ready
	packed  int // messages so far, dead letters too
}

func (p *parcel) add(r rows.Row) error {
	if r.Err != nil {
		p.refused++
		rejected := p.file.record(r.Line)
		rejected.body = r.Text
		p.letters = append(p.letters, letter{rejected, &lead.SyntaxError{Message: "This row is not valid: " + r.Err.Error() + "."}})
		if p.packed++; len(p.letters) < messagesPerBatch {
			return nil
		}
		return p.flush()
	}
	// A row that is longer than a message's share goes alone; escaped six
	// times it still fits the megabyte.
	if p.rows = append(p.rows, row{r.Line, string(r.JSON)}); len(p.rows) < rowsPerMessage && p.size+len(r.JSON) < bytesPerMessage {
		p.size += len(r.JSON)
		return nil
	}
	return p.pack()
}

// pack makes a message of the rows.
func (p *parcel) pack() error {
	if len(p.rows) == 0 {
		return nil
	}
	body, err := json.Marshal(rowsContent{p.file, p.rows})
	if err != nil {
		return err
	}
	if p.bytes+len(body) > bytesPerRequest {
		if err := p.send(); err != nil {
			return err
		}
	}
	p.ready = append(p.ready, Message{Body: string(body), Attributes: map[string]string{contentAttribute: contentRows}})
	p.queued += len(p.rows)
	p.rows, p.size, p.bytes = nil, 0, p.bytes+len(body)
	if p.packed++; len(p.ready) < messagesPerBatch {
		return nil
	}
	return p.send()
}

func (p *parcel) send() error {
	err := p.Queue.Send(p.work, p.ready)
	p.ready, p.bytes = nil, 0
	return err
}

// flush sends all there is.
func (p *parcel) flush() error {
	if err := p.bury(p.letters); err != nil {
		return err
	}
	p.letters = nil
	if err := p.pack(); err != nil {
		return err
	}
	if len(p.ready) == 0 {
		return nil
	}
	return p.send()
}

// openContent returns the records of a message. Where it is a file to be read on
// it does that, and returns none.
func (d *delivery) openContent(m message, content string, isOurs bool) ([]record, error) {
	if !isOurs {
		return []record{m.record()}, nil
	}
	spoilt := m.record()
	spoilt.err = errContent
	switch body := text(m.Body); content {
	case contentFile:
		var c fileContent
		if json.Unmarshal(body, &c, json.RejectUnknownMembers(true)) != nil || c.From.Offset <= 0 {
			return []record{spoilt}, nil
		}
		return nil, d.walk(c.File, c.From)
	case contentRows:
		var c rowsContent
		if json.Unmarshal(body, &c, json.RejectUnknownMembers(true)) != nil {
			return []record{spoilt}, nil
		}
		var records []record
		for _, r := range c.Rows {
			one := c.File.record(r.Line)
			one.body = []byte(r.Lead)
			records = append(records, one)
		}
		return records, nil
	}
	return []record{spoilt}, nil
}
