package ingest

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/leadfile"
	"overplane.dev/leads/pkg/plainjson"
)

// What the function puts into its own queue: some rows of a file, or a file to
// be read on. An attribute tells such a message from one that is a lead.
const (
	contentAttribute = "leads_content"
	contentRows      = "rows"
	contentFile      = "file"
)

type rowsContent struct {
	file File
	rows []row
}

type row struct {
	line int
	lead string // the JSON of a create, not yet judged
}

type fileContent struct {
	file File
	from leadfile.Position
}

// openContent returns the records of a message. Where it is a file to be read on
// it does that, and returns none.
func (d *delivery) openContent(m message) ([]record, error) {
	content, isOurs := m.attributes.get(contentAttribute)
	if !isOurs {
		return []record{m.record()}, nil
	}
	spoilt := m.record()
	spoilt.err = errContent
	switch body := text(m.body); content {
	case contentFile:
		c, err := plainjson.Whole(body, readFileContent)
		if err != nil || c.from.Offset <= 0 {
			return []record{spoilt}, nil
		}
		return nil, d.walk(c.file, c.from)
	case contentRows:
		c, err := plainjson.Whole(body, readRowsContent)
		if err != nil {
			return []record{spoilt}, nil
		}
		var records []record
		for _, r := range c.rows {
			one := c.file.record(r.line)
			one.body = []byte(r.lead)
			records = append(records, one)
		}
		return records, nil
	}
	return []record{spoilt}, nil
}

func (f File) append(dst []byte) []byte {
	dst = plainjson.AppendString(append(dst, `{"bucket":`...), f.Bucket)
	dst = plainjson.AppendString(append(dst, `,"key":`...), f.Key)
	if f.Version != "" {
		dst = plainjson.AppendString(append(dst, `,"version":`...), f.Version)
	}
	dst = plainjson.AppendString(append(dst, `,"etag":`...), f.ETag)
	return append(dst, '}')
}

func readFile(d *jsontext.Decoder) (f File, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "bucket":
			f.Bucket, err = plainjson.String(d)
		case "key":
			f.Key, err = plainjson.String(d)
		case "version":
			f.Version, err = plainjson.String(d)
		case "etag":
			f.ETag, err = plainjson.String(d)
		default:
			err = errUnknown
		}
		return err
	})
	return f, err
}

func (c rowsContent) append(dst []byte) []byte {
	dst = c.file.append(append(dst, `{"file":`...))
	dst = append(dst, `,"rows":[`...)
	for i, r := range c.rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"line":`...), int64(r.line), 10)
		dst = plainjson.AppendString(append(dst, `,"lead":`...), r.lead)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func readRowsContent(d *jsontext.Decoder) (c rowsContent, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "file":
			c.file, err = readFile(d)
		case "rows":
			c.rows, err = plainjson.List(d, readRow)
		default:
			err = errUnknown
		}
		return err
	})
	return c, err
}

func readRow(d *jsontext.Decoder) (r row, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "line":
			r.line, err = plainjson.Int[int](d)
		case "lead":
			r.lead, err = plainjson.String(d)
		default:
			err = errUnknown
		}
		return err
	})
	return r, err
}

func (c fileContent) append(dst []byte) []byte {
	dst = c.file.append(append(dst, `{"file":`...))
	dst = strconv.AppendInt(append(dst, `,"from":{"offset":`...), c.from.Offset, 10)
	dst = strconv.AppendInt(append(dst, `,"lines":`...), int64(c.from.Lines), 10)
	if c.from.Header != nil {
		dst = plainjson.AppendStrings(append(dst, `,"header":`...), c.from.Header)
	}
	return append(dst, "}}"...)
}

func readFileContent(d *jsontext.Decoder) (c fileContent, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "file":
			c.file, err = readFile(d)
		case "from":
			c.from, err = readPosition(d)
		default:
			err = errUnknown
		}
		return err
	})
	return c, err
}

func readPosition(d *jsontext.Decoder) (p leadfile.Position, err error) {
	err = plainjson.Object(d, func(d *jsontext.Decoder, name string) (err error) {
		switch name {
		case "offset":
			p.Offset, err = plainjson.Int[int64](d)
		case "lines":
			p.Lines, err = plainjson.Int[int](d)
		case "header":
			p.Header, err = plainjson.Strings(d)
		default:
			err = errUnknown
		}
		return err
	})
	return p, err
}
