package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
	"overplane.dev/leads/pkg/plainjson"
)

// Files opens files in S3.
type Files interface {
	// Open returns a file from an offset on, or a [*GoneError] where there is
	// no such version of it any more.
	Open(ctx context.Context, f File, offset int64) (io.ReadCloser, error)
}

// File is one version of an object in S3.
type File struct {
	Bucket  string
	Key     string
	Version string // "" in a bucket without versions
	ETag    string
}

func (f File) String() string { return "s3://" + f.Bucket + "/" + f.Key }

// once returns the name of what stands in a line of the file.
func (f File) once(line int) lead.IdempotencyKey {
	version := f.Version
	if version == "" || version == "null" { // of a bucket that stopped keeping versions
		version = f.ETag
	}
	// A key may hold any character; a bucket and a version hold no slash.
	return lead.IdempotencyKey{Source: "s3", Key: fmt.Sprintf("%s/%s/%d/%s", f.Bucket, version, line, f.Key), TTL: Keep}
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
type files []change

// change is what happened to one file.
type change struct {
	name string
	file File // its key as in the query of a URL
}

func readFiles(d *jsontext.Decoder) (files, error) { return plainjson.List(d, readChange) }

func readChange(d *jsontext.Decoder) (c change, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "eventName":
			c.name, err = plainjson.String(d)
		case "s3":
			err = plainjson.Object(d, c.member)
		default:
			err = d.SkipValue()
		}
		return err
	})
	return c, err
}

// member reads what follows the name of a member of s3.
func (c *change) member(d *jsontext.Decoder, name string) error {
	switch name {
	case "bucket":
		return plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
			if name != "name" {
				return d.SkipValue()
			}
			c.file.Bucket, err = plainjson.String(d)
			return err
		})
	case "object":
		return plainjson.Object(d, c.objectMember)
	}
	return d.SkipValue()
}

func (c *change) objectMember(d *jsontext.Decoder, name string) (err error) {
	switch name {
	case "key":
		c.file.Key, err = plainjson.String(d)
	case "versionId":
		c.file.Version, err = plainjson.String(d)
	case "eTag":
		c.file.ETag, err = plainjson.String(d)
	default:
		err = d.SkipValue()
	}
	return err
}

func (files) kind() string { return "s3" }

func (all files) check() error {
	for _, c := range all {
		switch {
		// s3:… in notifications that come by way of SNS or SQS.
		case !strings.HasPrefix(strings.TrimPrefix(c.name, "s3:"), "ObjectCreated:"):
			return unexpected("its event %.60q is no ObjectCreated", c.name)
		case c.file.Bucket == "" || c.file.Key == "" || c.file.ETag == "":
			return unexpected("a notification lacks the bucket's name, the key or the eTag")
		}
	}
	return nil
}

func (all files) handle(d *delivery) ([]byte, error) {
	for _, c := range all {
		f := c.file
		var err error
		if f.Key, err = url.QueryUnescape(f.Key); err != nil || !utf8.ValidString(f.Key) {
			return nil, unexpected("a key is not encoded as S3 encodes keys")
		}
		if strings.HasSuffix(f.Key, "/") { // a folder, as the console makes one
			continue
		}
		if err := d.walk(f, leadfile.Position{}); err != nil {
			return nil, &lead.UnavailableError{RetryAfter: time.Second, Err: err}
		}
	}
	return nil, nil
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
func (d *delivery) walk(f File, from leadfile.Position) error {
	refuse := func(why error) error {
		d.refused++
		r := f.record(0)
		r.body = f.append(nil)
		return d.bury([]letter{{r, why}})
	}
	format, err := leadfile.FormatOf(f.Key)
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
	reader, err := leadfile.NewReader(stream, format, from)
	if header := (*leadfile.HeaderError)(nil); errors.As(err, &header) {
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
	body := fileContent{f, reader.Position()}.append(nil)
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

func (p *parcel) add(r leadfile.Row) error {
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
	// Escaped, what a message has can become six times as long: that still fits
	// the megabyte.
	if p.size+len(r.JSON) > bytesPerMessage {
		if err := p.pack(); err != nil {
			return err
		}
	}
	p.rows, p.size = append(p.rows, row{r.Line, string(r.JSON)}), p.size+len(r.JSON)
	if len(p.rows) < rowsPerMessage {
		return nil
	}
	return p.pack()
}

// pack makes a message of the rows.
func (p *parcel) pack() error {
	if len(p.rows) == 0 {
		return nil
	}
	body := rowsContent{p.file, p.rows}.append(nil)
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
