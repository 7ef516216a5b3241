package leadfile

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"unicode"

	"github.com/hbollon/go-edlib"

	"overplane.dev/leads/pkg/lead"
)

// ReasonColumn is the name of the column with the reasons in a file of rejected
// rows. It is known and left out when that file is imported.
const ReasonColumn = "Rejected because"

// A Column is a column of a CSV file.
type Column struct {
	Name  string `json:"name"`
	Field string `json:"field,omitempty"` // "" if the column is left out

	// Undecided is why the column is left out if nobody decided that, else "".
	Undecided string   `json:"-"`
	Samples   []string `json:"-"` // its first values, at most three
	Similar   string   `json:"-"` // the field that an undecided column may mean, or ""
}

// columnsCSV has the names of columns that are recognised beside the names of the
// fields, and the exporters that write them. Of the columns for one field, the one
// that is first there is used.
//
//go:embed columns.csv
var columnsCSV string

// prefixes are what exporters write before the names of columns. What follows must
// be the name of one of the fields.
var prefixes = []struct {
	prefix, from string
	fields       []string
}{
	{"Person", "Pipedrive", personFields},
	{"Contact", "ActiveCampaign, Odoo", personFields},
	{"Primary Contact Primary", "Close", personFields},
	{"Primary Contact", "Close", personFields},
	{"User", "Google Ads", []string{"email_id", "phone"}},
	{"Invitee", "Calendly", personFields},
	{"Properties", "HubSpot, JSON", slices.Concat(personFields, companyFields)},
	{"Address 1", "Google Contacts, Dynamics 365, Wix", placeFields},
	{"Primary Address", "SugarCRM, Close", placeFields},
	{"Address - Work", "Nimble", placeFields},
	{"Address", "Insightly, Zendesk Sell", placeFields},
	{"Default Address", "Shopify", placeFields},
	{"Mailing", "Salesforce", placeFields},
	{"Business", "Outlook", placeFields},
	{"Billing", "Eventbrite", placeFields},
	{"Home", "Eventbrite", placeFields},
}

var (
	personFields  = []string{"lead_name", "salutation", "first_name", "middle_name", "last_name", "job_title", "email_id", "phone", "mobile_no", "fax"}
	companyFields = []string{"company_name", "website", "industry", "annual_revenue", "city", "state", "country"}
	placeFields   = []string{"city", "state", "country"}
)

// simplify returns the letters and digits of a name in lower case.
func simplify(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// A knownName is a name of columns that is recognised.
type knownName struct {
	field    string
	name     string // simplified, unless exact is set
	exact    bool   // the name must have this spelling
	prefixed bool
}

// knownNames returns all of them, the more exact first.
var knownNames = sync.OnceValue(func() (names []knownName) {
	// Other programs use these names for the lead's company and job.
	isMisleading := func(field string) bool { return field == "company" || field == "title" }
	var simple, prefixed, last []knownName
	for _, f := range lead.Fields {
		if isMisleading(f.Name) {
			last = append(last, knownName{field: f.Name, name: f.Name, exact: true})
			continue
		}
		names = append(names, knownName{field: f.Name, name: f.Name, exact: true})
		simple = append(simple, knownName{field: f.Name, name: simplify(f.Name)})
	}
	for line := range strings.Lines(columnsCSV) {
		if cells, err := splitCells(strings.TrimSpace(line), ','); err == nil && fieldNamed(cells[0].text) != nil {
			simple = append(simple, knownName{field: cells[0].text, name: simplify(cells[1].text)})
		}
	}
	for _, p := range prefixes {
		for _, k := range simple {
			if slices.Contains(p.fields, k.field) {
				prefixed = append(prefixed, knownName{field: k.field, name: simplify(p.prefix) + k.name, prefixed: true})
			}
		}
	}
	return slices.Concat(names, simple, prefixed, last)
})

func (k knownName) matches(name, simple string) bool {
	return k.exact && k.name == name || !k.exact && k.name == simple
}

func fieldNamed(name string) *lead.Field {
	for i := range lead.Fields {
		if lead.Fields[i].Name == name {
			return &lead.Fields[i]
		}
	}
	return nil
}

// isSetAside reports whether a column is left out or has another use by its name:
// it is a member that only the server sets, it has the reasons of rejections, or it
// identifies rows.
func (s Settings) isSetAside(name string) bool {
	return name == "id" || name == "created_at" || name == "updated_at" || name == ReasonColumn || name == s.ID
}

// isKnown reports whether the column needs no decision by its name alone.
func (s Settings) isKnown(name string) bool {
	_, mapped := s.Map[name]
	simple := simplify(name)
	return mapped || s.isSetAside(name) || slices.ContainsFunc(knownNames(), func(k knownName) bool { return k.matches(name, simple) })
}

// hasFieldNames reports whether all columns have names of members of a lead, as in a
// file that was made for this API.
func (s Settings) hasFieldNames(header []string) bool {
	return !slices.ContainsFunc(header, func(name string) bool {
		_, mapped := s.Map[name]
		return name != "" && !mapped && fieldNamed(name) == nil && !s.isSetAside(name)
	})
}

// assignColumns decides what each column of a header becomes. Its error is about
// the settings.
func assignColumns(header []string, s Settings) ([]Column, error) {
	columns := make([]Column, len(header))
	owner := map[string]int{} // the column of each field
	assign := func(i int, field string) {
		if other, taken := owner[field]; taken {
			columns[i].Undecided = fmt.Sprintf("left out? (%s is %s)", columns[other].Name, field)
			return
		}
		columns[i].Field, columns[i].Undecided, owner[field] = field, "", i
	}
	fieldNames := s.hasFieldNames(header)
	simple := make([]string, len(header))
	used, copies := map[string]bool{}, map[string]int{}
	for i, name := range header {
		simple[i] = simplify(name)
		c := &columns[i]
		for c.Name = name; used[c.Name]; c.Name = fmt.Sprintf("%s (%d)", name, copies[name]+1) {
			copies[name]++
		}
		used[c.Name] = true
		field, mapped := s.Map[c.Name]
		other, taken := owner[field]
		switch {
		case mapped && field != "" && fieldNamed(field) == nil:
			hint := ""
			if similar := similarField(field, nil); similar != "" {
				hint = " Did you mean " + similar + "?"
			}
			return nil, fileError("Column %q cannot become %q: no field of a new lead has this name.%s", name, field, hint)
		case mapped && field != "" && taken:
			return nil, fileError("Columns %q and %q cannot both become %s: map one of them to another field.", header[other], name, field)
		case mapped && field != "", fieldNames && !mapped && fieldNamed(name) != nil:
			assign(i, cmp.Or(field, name))
		case !mapped && (!s.isSetAside(name) || name == s.ID):
			c.Undecided = "left out?"
		}
	}
	for _, k := range knownNames() {
		for i, name := range header {
			if columns[i].Undecided != "" && k.matches(name, simple[i]) {
				assign(i, k.field)
			}
		}
	}
	for i := range columns {
		c := &columns[i]
		if s.SkipUnknown || c.Name == s.ID {
			c.Undecided = ""
		} else if c.Undecided != "" {
			c.Similar = similarField(c.Name, owner)
		}
	}
	return columns, nil
}

// similarField returns the free field that a misspelt name means, or "".
func similarField(name string, owner map[string]int) string {
	simple := simplify(name)
	best, similar := 3, "" // two edits at most, and few of the letters
	for _, k := range knownNames() {
		_, taken := owner[k.field]
		if difference := len(simple) - len(k.name); taken || k.prefixed || difference > 2 || difference < -2 {
			continue
		}
		if d := edlib.OSADamerauLevenshteinDistance(simple, simplify(k.name)); d < best && 4*d <= len(k.name) {
			best, similar = d, k.field
		}
	}
	return similar
}

// Undecided returns the settings that decide about all columns about which nobody
// decided yet: an empty field leaves a column out.
func Undecided(columns []Column) (decisions [][2]string) {
	for _, c := range columns {
		if c.Undecided != "" {
			decisions = append(decisions, [2]string{c.Name, c.Similar})
		}
	}
	return decisions
}

// FormatColumns returns a table of the columns for people: what each becomes, and
// its first values.
func FormatColumns(columns []Column) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COLUMN\tBECOMES\tFIRST VALUES")
	for _, c := range columns {
		if c.Name == "" {
			continue // without a name and empty
		}
		var samples []string
		for _, s := range c.Samples {
			samples = append(samples, printable(s, 24))
		}
		becomes := printable(cmp.Or(c.Field, c.Undecided, "left out"), 100)
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(c.Name, 100), becomes, strings.Join(samples, " | "))
	}
	w.Flush()
	return b.String()
}

// printable returns the beginning of a text for a terminal, without control
// characters.
func printable(text string, length int) string {
	isBreak := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	runes := []rune(strings.Join(strings.FieldsFunc(text, isBreak), " "))
	if len(runes) > length {
		return string(runes[:length-1]) + "…"
	}
	return string(runes)
}
