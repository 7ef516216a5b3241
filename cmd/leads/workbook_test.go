package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"overplane.dev/leads/pkg/leadfile"
)

// newWorkbook returns a workbook with two sheets.
func newWorkbook(t *testing.T) []byte {
	t.Helper()
	book := excelize.NewFile()
	defer book.Close()
	euros, err := book.NewStyle(&excelize.Style{NumFmt: 4}) // #,##0.00
	if err != nil {
		t.Fatal(err)
	}
	day, err := book.NewStyle(&excelize.Style{NumFmt: 14}) // a date
	if err != nil {
		t.Fatal(err)
	}
	for cell, value := range map[string]any{
		"A1": "Full Name", "B1": "Mobile", "C1": "Annual Revenue", "D1": "Email Opt Out", "E1": "Qualified On", "F1": "City",
		"A2": "Ada \"A\" Okafor", "B2": 447700900100, "C2": 1250000.1, "D2": true, "E2": time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC), "F2": "two\nlines",
		"A4": "Bob", "F4": "007",
	} {
		if err := book.SetCellValue("Sheet1", cell, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := book.NewSheet("People"); err != nil {
		t.Fatal(err)
	}
	book.SetCellStyle("Sheet1", "C2", "C2", euros)
	book.SetCellStyle("Sheet1", "E2", "E2", day)
	book.SetCellValue("People", "A1", "Name")
	book.SetCellValue("People", "A2", "Zoe")
	var b bytes.Buffer
	if err := book.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readSource returns the rows of a file as NDJSON.
func readSource(t *testing.T, name, sheet string) string {
	t.Helper()
	var s leadfile.Settings
	source, err := openSource(name, sheet, &s)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	reader, err := leadfile.NewReader(source, source.name, s, leadfile.Position{})
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for {
		row, err := reader.Read()
		if err == io.EOF {
			return rows.String()
		} else if err != nil || row.Err != nil {
			t.Fatal(err, row.Err)
		}
		rows.Write(append(row.JSON, '\n'))
	}
}

func TestWorkbook(t *testing.T) {
	name := filepath.Join(t.TempDir(), "people.xlsx")
	if err := os.WriteFile(name, newWorkbook(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for sheet, want := range map[string]string{
		"": "{\"lead_name\":\"Ada \\\"A\\\" Okafor\",\"mobile_no\":\"447700900100\",\"annual_revenue\":1250000.1,\"unsubscribed\":true,\"qualified_on\":\"2026-03-04\",\"city\":\"two\\nlines\"}\n" +
			"{\"lead_name\":\"Bob\",\"city\":\"007\"}\n",
		"People": "{\"lead_name\":\"Zoe\"}\n",
	} {
		if got := readSource(t, name, sheet); got != want {
			t.Errorf("sheet %q: got\n%swant\n%s", sheet, got, want)
		}
	}
	const copies = "../../pkg/leadfile/testdata/roundtrip/"
	if got, want := readSource(t, copies+"openpyxl.xlsx", ""), readSource(t, copies+"csv.csv", ""); got != want || want == "" {
		t.Errorf("an export as a workbook: got\n%swant\n%s", got, want)
	}
	if _, err := openSource(name, "None", &leadfile.Settings{}); err == nil || err.Error() != `there is no sheet "None": the sheets are Sheet1, People` {
		t.Error(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.xlsx")
	if err := os.WriteFile(broken, []byte("PK\x03\x04 xl/workbook.xml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSource(broken, "", &leadfile.Settings{}); err == nil || !strings.HasPrefix(err.Error(), "the workbook cannot be read, save it as CSV UTF-8: ") {
		t.Error(err)
	}
}

// TestImportHelp checks that the help fits a screen.
func TestImportHelp(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "import", "-h")
	cmd.Env = testEnviron()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > 24 || strings.Count(string(out), "  leads import -account") != 2 {
		t.Errorf("%d lines:\n%s", len(lines), out)
	}
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}
