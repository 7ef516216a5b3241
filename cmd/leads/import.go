package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"
	"golang.org/x/text/encoding/ianaindex"

	"overplane.dev/leads/pkg/leadfile"
)

// importOptions are the flags of leads import.
type importOptions struct {
	settings leadfile.Settings
	sheet    string
	name     string
	dryRun   bool
	again    bool
}

func addImportFlags(flags *flag.FlagSet) *importOptions {
	o := &importOptions{settings: leadfile.Settings{Map: map[string]string{}}}
	s := &o.settings
	flags.Func("map", "map as `COLUMN=FIELD`; COLUMN= leaves out, @FILE has a list", func(text string) error {
		return addMapping(s.Map, text)
	})
	flags.BoolVar(&s.SkipUnknown, "skip-unknown", false, "leave out all columns that are not recognised")
	flags.BoolVar(&o.dryRun, "dry-run", false, "write nothing, show what would happen")
	flags.StringVar(&s.ID, "id", "", "tell rows apart by this `COLUMN` instead of by their leads")
	flags.BoolVar(&o.again, "again", false, "create leads again that were deleted since")
	flags.StringVar(&o.name, "name", "", "the `NAME` for import undo (default that of the file)")
	flags.StringVar(&s.Encoding, "encoding", "", "the `ENCODING` if not UTF-8 or UTF-16, such as windows-1252")
	flags.StringVar(&s.Decimal, "decimal", "", "the decimal `SIGN`, point or comma, of ambiguous numbers")
	flags.Func("empty", "a `TEXT` that means an empty cell, such as N/A", func(text string) error {
		s.Empty = append(s.Empty, text)
		return nil
	})
	flags.BoolVar(&s.KeepSpaces, "keep-spaces", false, "keep white space around cells")
	flags.StringVar(&o.sheet, "sheet", "", "the `SHEET` of a workbook (default the first)")
	return o
}

// addMapping adds COLUMN=FIELD, or the lines of @FILE.
func addMapping(mapping map[string]string, text string) error {
	if name, ok := strings.CutPrefix(text, "@"); ok && !strings.Contains(text, "=") {
		file, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(strings.TrimPrefix(string(file), "\ufeff")) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			if err := addMapping(mapping, line); err != nil {
				return err
			}
		}
		return nil
	}
	i := strings.LastIndexByte(text, '=')
	if i < 1 {
		return fmt.Errorf("%q has no column or no equals sign: give COLUMN=FIELD", text)
	}
	column, field := strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+1:])
	if other, twice := mapping[column]; twice && other != field {
		return fmt.Errorf("column %q is mapped twice, to %q and to %q: map it once", column, other, field)
	}
	mapping[column] = field
	return nil
}

func importLeads(flags *flag.FlagSet) runFunc {
	tenant := addTenantFlags(flags)
	newAccount := addNewAccountFlag(flags)
	options := addImportFlags(flags)
	return withDatabase(flags, func(ctx context.Context, db database, name string) error {
		source, err := openSource(name, options.sheet, &options.settings)
		if err != nil {
			return err
		}
		defer source.Close()
		reader, err := leadfile.NewReader(source, source.name, options.settings, leadfile.Position{})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := checkColumnNames(reader, options.settings); err != nil {
			return err
		}
		if err := showColumns(reader, name, options.dryRun); err != nil {
			return err
		}
		if err := confirmAccount(ctx, db, tenant.Account, *newAccount || options.dryRun, name != "-"); err != nil {
			return err
		}
		if options.name == "" {
			options.name = filepath.Base(source.path)
		}
		rejected, err := newRejectFile(source.path+reader.RejectedExt(), reader, options.dryRun)
		if err != nil {
			return err
		}
		i := newImporter(db, *tenant, rejected)
		i.again, i.dryRun, i.idColumn = options.again, options.dryRun, options.settings.ID
		if !i.dryRun {
			if i.journal, err = openJournal(journalName(db, *tenant, options.name)); err != nil {
				return err
			}
		}
		i.source, i.bar = source, newProgressBar("rows")
		err = errors.Join(i.run(ctx, reader), rejected.close(), i.journal.close())
		i.bar.clear()
		i.report(options.name)
		switch {
		case err != nil:
			return fmt.Errorf("%w. Run the same command again to continue: it creates no lead a second time", err)
		case rejected.count > 0 && !i.dryRun:
			return fmt.Errorf("some rows were rejected: %s has them with the reasons. Correct them there and import that file, or correct them in %s and run the same command again", rejected.name, name)
		}
		return nil
	})
}

// checkColumnNames checks that the file has all columns that the flags name.
func checkColumnNames(reader *leadfile.Reader, s leadfile.Settings) error {
	var names []string
	for _, c := range reader.Columns() {
		names = append(names, c.Name)
	}
	wanted := slices.Sorted(maps.Keys(s.Map))
	if s.ID != "" {
		wanted = append(wanted, s.ID)
	}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return usageError("there is no column %q: the columns are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// showColumns prints what the columns become, unless they all have the names of
// fields and nobody asked. It returns an error if somebody must decide about some of
// them, with the command that does.
func showColumns(reader *leadfile.Reader, name string, always bool) error {
	if n := reader.Skipped(); n > 0 {
		fmt.Fprintf(os.Stderr, "The header is in line %d; the lines before it are skipped.\n", n+1)
	}
	layout := reader.Position().Layout
	if layout.Columns == nil || layout.FieldNames && len(layout.Settings.Map) == 0 && !always {
		return nil
	}
	fmt.Fprint(os.Stderr, leadfile.FormatColumns(reader.Columns()))
	undecided := leadfile.Undecided(reader.Columns())
	if len(undecided) == 0 {
		return nil
	}
	command := append([]string{"leads"}, os.Args[1:len(os.Args)-1]...)
	for _, d := range undecided {
		command = append(command, "-map", d[0]+"="+d[1])
	}
	return fmt.Errorf(`nothing was imported, because %d of the columns are not recognised. Say what each becomes; a column without a field is left out:
  %s
Or add -skip-unknown to leave out all of them`, len(undecided), shellquote.Join(append(command, name)...))
}

// A source is the content of the file to import.
type source struct {
	io.Reader
	io.Closer
	path string // of files beside it
	name string // which tells the format; "" for standard input
	size int64  // bytes, 0 if not known
	read int64  // bytes, until now
}

// Read implements [io.Reader] and counts the bytes.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.read += int64(n)
	return n, err
}

// openSource opens a file, or standard input if the name is "-". A workbook
// becomes CSV. If the encoding is one that package leadfile does not know, it
// decodes the content and clears the setting.
func openSource(name, sheet string, settings *leadfile.Settings) (*source, error) {
	file := os.Stdin
	s := &source{path: "stdin"}
	if name != "-" {
		var err error
		if file, err = os.Open(name); err != nil {
			return nil, err
		}
		s.path, s.name = name, name
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			s.size = info.Size()
		}
	}
	buffered := bufio.NewReader(file)
	s.Reader, s.Closer = buffered, file
	head, _ := buffered.Peek(buffered.Size())
	head = bytes.Clone(head)
	if http.DetectContentType(head) == "application/zip" {
		content, err := openWorkbook(buffered, sheet)
		if err == nil {
			s.Reader, s.Closer, s.name, s.size = content, content, "workbook.csv", 0
			return s, nil
		} else if bytes.Contains(head, []byte("xl/")) {
			return nil, err
		}
		s.Reader = bytes.NewReader(head) // enough to name it
		return s, nil
	}
	if sheet != "" {
		return nil, usageError("-sheet: the file is not a workbook")
	}
	if _, ok := leadfile.FindEncoding(settings.Encoding); !ok {
		e, err := ianaindex.IANA.Encoding(settings.Encoding)
		if err != nil || e == nil {
			return nil, usageError("-encoding: there is no encoding %q: give a name such as windows-1252 or shift_jis", settings.Encoding)
		}
		s.Reader, settings.Encoding = e.NewDecoder().Reader(s.Reader), "utf-8"
		s.size = 0
	}
	return s, nil
}
