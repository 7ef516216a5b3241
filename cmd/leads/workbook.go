package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

// openWorkbook returns the rows of a sheet of an Excel workbook as CSV.
func openWorkbook(content io.Reader, sheet string) (io.ReadCloser, error) {
	book, err := excelize.OpenReader(content, excelize.Options{ShortDatePattern: "yyyy-mm-dd"})
	if err != nil {
		return nil, fmt.Errorf("the workbook cannot be read, save it as CSV UTF-8: %w", err)
	}
	sheets := book.GetSheetList()
	if len(sheets) == 0 {
		return nil, errors.New("the workbook has no sheets")
	}
	if sheet == "" {
		sheet = sheets[0]
	}
	shown, err := book.Rows(sheet)
	if err != nil {
		return nil, fmt.Errorf("there is no sheet %q: the sheets are %s", sheet, strings.Join(sheets, ", "))
	}
	stored, err := book.Rows(sheet)
	if err != nil {
		return nil, err
	}
	reader, writer := io.Pipe()
	go func() {
		defer book.Close()
		writer.CloseWithError(writeRows(writer, shown, stored))
	}()
	return reader, nil
}

// writeRows writes rows as CSV. It gets each row as Excel shows it and as it is
// stored: a phone number is shown as 4.47701E+11, and a date is stored as the
// number of its day.
func writeRows(to io.Writer, shown, stored *excelize.Rows) error {
	w := csv.NewWriter(to)
	for shown.Next() && stored.Next() {
		row, err := shown.Columns()
		if err != nil {
			return err
		}
		raw, err := stored.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return err
		}
		for i := range min(len(row), len(raw)) {
			number, err := strconv.ParseFloat(raw[i], 64)
			isTime := strings.ContainsAny(row[i], "/:") || strings.Count(row[i], "-") > 1
			if err == nil && !isTime && row[i] != "TRUE" && row[i] != "FALSE" {
				if row[i] = raw[i]; strings.Contains(raw[i], ".") || strings.Contains(raw[i], "E") {
					row[i] = strconv.FormatFloat(number, 'f', -1, 64) // without digits that only storage has
				}
			}
		}
		if len(row) == 0 {
			row = []string{""} // an empty line
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
