package leadfile

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
)

const (
	// sampleSize is how much of the text is read to recognise its layout.
	sampleSize = 64 << 10

	maxSamples = 3 // values of a column that are kept to show them

	// maxPreamble is how many rows may precede the header.
	maxPreamble = 20
)

// separators are the separators of cells that are recognised.
const separators = ",;\t|"

var (
	separatorLine = regexp.MustCompile(`(?i)^"?sep=([ !#-~\t])"?$`)
	address       = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
)

// detectFormat returns the format of a text: that of its content or, if that
// could be anything, that of its name.
func detectFormat(sample []byte, name string) Format {
	text := bytes.TrimLeft(bytes.TrimPrefix(sample, []byte(byteOrderMark)), " \t\r\n")
	name = strings.ToLower(name)
	isCSV := strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".tsv") || strings.HasSuffix(name, ".txt")
	if rest, ok := bytes.CutPrefix(text, []byte{'['}); ok && !isCSV {
		rest = bytes.TrimLeft(rest, " \t\r\n")
		if len(rest) == 0 || rest[0] == '{' || rest[0] == ']' {
			return JSON
		}
	}
	isNDJSON := strings.HasSuffix(name, ".ndjson") || strings.HasSuffix(name, ".jsonl")
	isObject := bytes.HasPrefix(text, []byte{'{'}) && !isCSV
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	switch {
	case isObject && !isNDJSON && !bytes.HasSuffix(bytes.TrimSpace(line), []byte{'}'}):
		return JSON // an object in several lines
	case isObject, isNDJSON, strings.HasSuffix(name, ".json"):
		return NDJSON
	}
	return CSV
}

// detectLayout reads the beginning of the file and decides how to read the rest.
// It skips everything up to the first row.
func (r *Reader) detectLayout(name string, s Settings) error {
	l := &Layout{Settings: s, Encoding: "utf-8"}
	r.pos.Layout = l
	if s.Decimal != "" && s.Decimal != "point" && s.Decimal != "comma" {
		return fileError("The decimal sign is %q: give point or comma.", s.Decimal)
	}
	head, err := r.peek(sampleSize)
	if err != nil {
		return err
	}
	if other := describeOther(head); other != "" {
		return fileError("The file is %s.", other)
	}
	if found := detectUnicode(head[:min(len(head), 4096)&^1]); found != "" {
		l.Encoding = found
	} else if bytes.IndexByte(head, 0) >= 0 {
		return fileError("The file is not a text file, because it contains zero bytes: export CSV instead.")
	} else if s.Encoding != "" {
		e, ok := FindEncoding(s.Encoding)
		if !ok {
			return fileError("The encoding %q is not known here: save the file as UTF-8, or give a name such as windows-1252.", s.Encoding)
		}
		if e != unicode.UTF8 {
			l.Encoding = s.Encoding
		}
	} else if likely := guessEncoding(head); likely != "" {
		first, _, _ := strings.Cut(likely, ",")
		return fileError("The file is not in UTF-8. It is probably in %s: give that encoding (-encoding %s), or save the file as UTF-8.", likely, first)
	}
	r.decode()
	sample, err := r.peek(sampleSize)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(sample, []byte(byteOrderMark)) {
		r.skip(len(byteOrderMark))
		sample = sample[len(byteOrderMark):]
	}
	if l.Format = detectFormat(sample, name); l.Format == CSV {
		l.LineEnd = detectLineEnd(sample)
		return r.readHeader(sample, s)
	}
	l.LineEnd = "\n"
	return r.readMembers(sample, s)
}

// decode makes the buffer return UTF-8.
func (r *Reader) decode() {
	e, ok := FindEncoding(r.pos.Layout.Encoding)
	if ok && e != unicode.UTF8 {
		r.buf = newBuffer(e.NewDecoder().Reader(r.buf))
	}
}

// detectLineEnd returns "\r" for the text of an old Mac, else "\n".
func detectLineEnd(sample []byte) string {
	quoted := false
	for i, c := range sample {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\n' && !quoted:
			return "\n"
		case c == '\r' && !quoted && i+1 < len(sample) && sample[i+1] != '\n':
			return "\r"
		}
	}
	return "\n"
}

// sampleRow is a row of the sample.
type sampleRow struct {
	cells []cell // nil if they cannot be split
	end   int    // offset in the sample after the row
}

// splitSample returns the first rows of the sample.
func (r *Reader) splitSample(sample []byte, separator byte) (rows []sampleRow) {
	for at := 0; at < len(sample); {
		n := r.rowLength(sample[at:])
		if n == 0 && len(sample) == sampleSize && at > 0 {
			break // the row may go on after the sample
		} else if n == 0 {
			n = len(sample) - at
		}
		cells, _ := splitCells(string(r.trimLineEnd(sample[at:at+n])), separator)
		at += n
		rows = append(rows, sampleRow{cells, at})
	}
	return rows
}

// findHeader returns the index of the row that names the columns, and how many of
// its columns are known. Without any known column it is the first row that is not
// empty.
func findHeader(rows []sampleRow, s Settings) (index, known int) {
	index = -1
	title := false // the first row is a single cell, as that of a title
	for i, row := range rows[:min(len(rows), maxPreamble+1)] {
		named, k := 0, 0
		for _, c := range row.cells {
			if name := trimSpace(c.text); strings.Trim(name, separators) != "" {
				named++
				if s.isKnown(name) {
					k++
				}
			}
		}
		switch {
		case named == 0:
		case index < 0:
			if index, title = i, named == 1; k > 0 {
				return i, k
			}
		case k > 1 || k == named || k > 0 && title:
			return i, k
		}
	}
	return index, 0
}

// readHeader finds the header and the separator of a CSV file and skips them.
func (r *Reader) readHeader(sample []byte, s Settings) error {
	l := r.pos.Layout
	options := separators
	if end := bytes.IndexByte(sample, l.LineEnd[0]); end >= 0 {
		if m := separatorLine.FindSubmatch(r.trimLineEnd(sample[:end+1])); m != nil {
			options = string(m[1])
			r.skip(end + 1)
			sample = sample[end+1:]
		}
	}
	var rows []sampleRow
	header, known, width := -1, -1, 0
	for i := range len(options) {
		some := r.splitSample(sample, options[i])
		h, k := findHeader(some, s)
		if h < 0 || k < known || k == known && len(some[h].cells) <= width {
			continue
		}
		rows, header, known, width, l.Separator = some, h, k, len(some[h].cells), options[i:i+1]
	}
	if header < 0 && len(bytes.TrimSpace(sample)) == 0 {
		return fileError("The file is empty: its first line must name the columns.")
	} else if header < 0 {
		return fileError("The file has no header that can be read: its first line must name the columns. Check its quotes.")
	}
	var names []string
	plain := true // no name is in quotes, as in an export and in a file of DuckDB
	for _, c := range rows[header].cells {
		name := trimSpace(c.text)
		if address.MatchString(name) {
			return fileError("The first line must name the columns, but it has the e-mail address %s: add a line with names, such as Name and Email.", name)
		}
		names = append(names, name)
		plain = plain && !c.quoted
	}
	l.Header = slices.Clone(names)
	l.FieldNames = s.hasFieldNames(names)
	l.EmptyText = plain && l.FieldNames

	samples := make([][]string, len(names))
	for _, row := range rows[header+1:] {
		for i, c := range row.cells[:min(len(row.cells), len(names))] {
			samples[i] = addSample(samples[i], l.clean(c.text))
		}
	}
	for i, name := range names {
		if name == "" && len(samples[i]) > 0 {
			names[i] = fmt.Sprintf("column %d", i+1)
		}
	}
	if !slices.ContainsFunc(names, func(n string) bool { return n != "" }) {
		return fileError("The first line names no columns.")
	}
	if err := l.setColumns(names, samples); err != nil {
		return err
	}
	before := 0
	if header > 0 {
		before = rows[header-1].end
	}
	start := r.pos.Lines
	r.skip(rows[header].end)
	if len(bytes.Trim(sample[:before], " \t\r\n"+separators)) > 0 {
		r.skipped = start + bytes.Count(sample[:before], []byte(l.LineEnd))
	}
	return nil
}

// addSample adds a value to those that are kept to show them.
func addSample(samples []string, text string) []string {
	if text != "" && len(samples) < maxSamples {
		samples = append(samples, text)
	}
	return samples
}

// setColumns decides what the columns become.
func (l *Layout) setColumns(names []string, samples [][]string) error {
	named := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	columns, err := assignColumns(named, l.Settings)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(columns, func(c Column) bool { return c.Field != "" || c.Undecided != "" }) {
		return fileError("None of the columns becomes a field: %s. Map at least one of them.", strings.Join(named, ", "))
	}
	for i, name := range names {
		c := Column{}
		if name != "" {
			c, columns = columns[0], columns[1:]
		}
		c.Samples = samples[i]
		l.Columns = append(l.Columns, c)
	}
	return nil
}
