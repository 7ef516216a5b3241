package leadfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/agnivade/levenshtein"
	"github.com/go-json-experiment/json/jsontext"

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

// An alias is the name of a column in the files of an exporter.
type alias struct{ field, name, from string }

// aliases are the names of columns that are recognised beside the names of the
// fields. Of the columns for one field, the one that is first here is used.
var aliases = []alias{
	{"lead_name", "Full Name", "Meta lead ads, Google Ads, ERPNext, Zoho"},
	{"lead_name", "Name", "Google Contacts, Copper, monday.com, Odoo"},
	{"lead_name", "Primary Contact Name", "Close"},
	{"lead_name", "Display Name", "Outlook"},
	{"first_name", "Given Name", "Google Contacts, before 2024"},
	{"first_name", "FNAME", "Mailchimp, merge tag"},
	{"first_name", "Forename", "plain lists"},
	{"first_name", "First", "Yahoo"},
	{"first_name", "Name (First)", "Gravity Forms"},
	{"middle_name", "Additional Name", "Google Contacts, before 2024"},
	{"last_name", "Family Name", "Google Contacts, before 2024"},
	{"last_name", "Surname", "plain lists"},
	{"last_name", "LNAME", "Mailchimp, merge tag"},
	{"last_name", "Last", "Yahoo"},
	{"last_name", "Name (Last)", "Gravity Forms"},
	{"salutation", "Name Prefix", "Google Contacts"},
	{"salutation", "Prefix", "Copper"},
	{"company_name", "Company", "Salesforce, Outlook, LinkedIn, Zoho, Marketo"},
	{"company_name", "Organization Name", "Google Contacts, ERPNext, Insightly, Zendesk Sell"},
	{"company_name", "Organization 1 - Name", "Google Contacts, before 2024"},
	{"company_name", "Account Name", "Salesforce, Zoho, SugarCRM"},
	{"company_name", "Associated Company", "HubSpot"},
	{"company_name", "Company / Account", "Salesforce reports"},
	{"company_name", "Organization", "Pipedrive, plain lists"},
	{"company_name", "Organisation", "plain lists"},
	{"company_name", "Organization - Name", "Pipedrive"},
	{"company_name", "Partner Name", "Odoo, technical name"},
	{"company_name", "Business Name", "plain lists"},
	{"job_title", "Title", "Salesforce, Zoho, Copper, SugarCRM"},
	{"job_title", "Organization Title", "Google Contacts"},
	{"job_title", "Organization 1 - Title", "Google Contacts, before 2024"},
	{"job_title", "Job Position", "Odoo"},
	{"job_title", "Position", "LinkedIn connections, Wix"},
	{"job_title", "Designation", "Zoho"},
	{"job_title", "Function", "Odoo, technical name"},
	{"email_id", "Email", "HubSpot, Salesforce, Zoho, ERPNext, Odoo"},
	{"email_id", "Email Address", "Mailchimp, LinkedIn, Marketo"},
	{"email_id", "E-mail Address", "Outlook"},
	{"email_id", "E-mail 1 - Value", "Google Contacts"},
	{"email_id", "Work Email", "Meta lead ads, LinkedIn lead forms"},
	{"email_id", "Business Email", "plain lists"},
	{"email_id", "Primary Email", "plain lists"},
	{"email_id", "Email - Work", "Pipedrive, Nimble"},
	{"email_id", "Email 1", "Wix"},
	{"email_id", "Email From", "Odoo, technical name"},
	{"email_id", "Email Address (Work)", "Capsule"},
	{"email_id", "Emails", "Freshsales"},
	{"phone", "Phone Number", "HubSpot, Meta lead ads, LinkedIn, Marketo"},
	{"phone", "Business Phone", "Outlook, Dynamics 365"},
	{"phone", "Phone 1 - Value", "Google Contacts"},
	{"phone", "Work Phone", "LinkedIn lead forms"},
	{"phone", "Office Phone", "SugarCRM"},
	{"phone", "Main Phone", "Marketo"},
	{"phone", "Primary Phone", "Outlook"},
	{"phone", "Telephone", "plain lists"},
	{"phone", "Phone - Work", "Constant Contact, Pipedrive, Nimble"},
	{"phone", "Phone 1", "Wix, Keap"},
	{"phone", "Work Direct Phone", "Apollo"},
	{"phone", "Direct Phone Number", "ZoomInfo"},
	{"mobile_no", "Mobile Phone", "Outlook, Marketo"},
	{"mobile_no", "Mobile Phone Number", "HubSpot"},
	{"mobile_no", "Mobile", "Salesforce, Zoho, Odoo"},
	{"mobile_no", "Mobile Number", "plain lists"},
	{"mobile_no", "Cell Phone", "Eventbrite"},
	{"mobile_no", "Phone - Mobile", "Constant Contact, Pipedrive, Nimble"},
	{"mobile_no", "SMS", "Brevo"},
	{"whatsapp_no", "WhatsApp", "ERPNext, Brevo"},
	{"whatsapp_no", "WhatsApp Phone Number", "HubSpot"},
	{"whatsapp_no", "WhatsApp Number", "Meta lead ads"},
	{"phone_ext", "Phone Extension", "plain lists"},
	{"fax", "Fax Number", "HubSpot, Marketo"},
	{"fax", "Business Fax", "Outlook"},
	{"website", "Website URL", "HubSpot"},
	{"website", "Web Page", "Outlook"},
	{"website", "Website 1 - Value", "Google Contacts"},
	{"website", "Company Website", "plain lists"},
	{"website", "Work Website", "Copper"},
	{"website", "Web Address", "Capsule"},
	{"city", "Town", "plain lists"},
	{"city", "City - Home", "Constant Contact"},
	{"state", "State/Province", "Salesforce, ERPNext"},
	{"state", "State/Region", "HubSpot"},
	{"state", "Province", "Zoho, plain lists"},
	{"state", "Region", "Klaviyo, Google Ads"},
	{"state", "State/Province - Home", "Constant Contact"},
	{"country", "Country/Region", "HubSpot"},
	{"country", "Country/Region Name", "Zoom"},
	{"country", "Country - Home", "Constant Contact"},
	{"no_of_employees", "Number of Employees", "HubSpot, Marketo"},
	{"no_of_employees", "Employees", "Salesforce, Apollo"},
	{"no_of_employees", "Company Size", "LinkedIn lead forms"},
	{"annual_revenue", "Company Annual Revenue", "Marketo"},
	{"status", "Lead Status", "Salesforce, HubSpot, Zoho"},
	{"status", "Status Label", "Close"},
	{"status", "Status Reason", "Dynamics 365"},
	{"type", "Lead Type", "ERPNext"},
	{"lead_owner", "Contact Owner", "HubSpot"},
	{"lead_owner", "Salesperson", "Odoo"},
	{"lead_owner", "Lead - Owner", "Pipedrive"},
	{"lead_owner", "Owner", "Dynamics 365, Capsule"},
	{"lead_owner", "Assigned To", "Copper"},
	{"lead_owner", "Owned By", "Copper"},
	{"lead_owner", "Assigned User Name", "SugarCRM"},
	{"lead_owner", "Sales Owner", "Freshsales"},
	{"utm_source", "Lead Source", "Salesforce, Zoho, Marketo"},
	{"utm_source", "Original Source", "HubSpot"},
	{"utm_source", "Original Traffic Source", "HubSpot"},
	{"utm_source", "Person Source", "Marketo"},
	{"utm_source", "Source", "ERPNext, Odoo, Pipedrive"},
	{"utm_source", "Source Name", "Constant Contact"},
	{"utm_source", "Lead - Source", "Pipedrive"},
	{"utm_medium", "Medium", "Odoo"},
	{"utm_campaign", "Campaign Name", "Meta lead ads, LinkedIn lead forms, Google Ads"},
	{"utm_campaign", "Campaign", "Odoo"},
	{"unsubscribed", "Email Opt Out", "Salesforce, Zoho, SugarCRM"},
	{"unsubscribed", "Email Opted Out", "Insightly"},
	{"unsubscribed", "Email Blocklisted", "Brevo"},
	{"unsubscribed", "Has Opted Out Of Email", "Salesforce, technical name"},
	{"unsubscribed", "Do Not Email", "plain lists"},
	{"unsubscribed", "Opted Out", "plain lists"},
	{"unsubscribed", "Unsubscribed from all email", "HubSpot"},
	{"unsubscribed", "Unsubscribed from Emails", "Intercom"},
	{"language", "Preferred Language", "HubSpot"},
	{"language", "Print Language", "ERPNext"},
	{"image", "Photo", "Google Contacts"},
}

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
	{"Address", "Insightly, Zendesk Sell", placeFields},
	{"Mailing", "Salesforce", placeFields},
	{"Business", "Outlook", placeFields},
	{"Billing", "Eventbrite", placeFields},
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

// Ranks of a claim of a column to a field: the lower, the more exact. Aliases
// have the ranks between.
const (
	rankExact      = 0
	rankSimplified = 1
	rankAlias      = 2
	rankPrefix     = 1000 // added if only the name without its prefix is known
	rankLast       = 2000
)

type claim struct {
	column int
	field  string
	rank   int
}

// claims returns the fields that a column with this name can become, the most
// exact first.
func claims(name string) (found []claim) {
	simple := simplify(name)
	if simple == "" {
		return nil
	}
	for _, f := range lead.Fields {
		switch {
		// Everybody else calls the lead's company and job so.
		case f.Name == name && (name == "company" || name == "title"):
			found = append(found, claim{field: f.Name, rank: rankLast})
		case f.Name == name:
			found = append(found, claim{field: f.Name, rank: rankExact})
		case simplify(f.Name) == simple && simple != "company" && simple != "title":
			found = append(found, claim{field: f.Name, rank: rankSimplified})
		}
	}
	for i, a := range aliases {
		if simplify(a.name) == simple {
			found = append(found, claim{field: a.field, rank: rankAlias + i})
		}
	}
	for _, p := range prefixes {
		rest, ok := strings.CutPrefix(simple, simplify(p.prefix))
		if !ok || len(found) > 0 {
			continue
		}
		for _, c := range claims(rest) {
			if slices.Contains(p.fields, c.field) {
				found = append(found, claim{field: c.field, rank: c.rank + rankPrefix})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b claim) int { return cmp.Compare(a.rank, b.rank) })
	return found
}

func quoteJSON(s string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, s)
	return quoted
}

func fieldNamed(name string) *lead.Field {
	for i := range lead.Fields {
		if lead.Fields[i].Name == name {
			return &lead.Fields[i]
		}
	}
	return nil
}

// isReadOnly reports whether a lead has this member but a create ignores it.
func isReadOnly(name string) bool {
	changes, err := lead.ParseChanges(fmt.Appendf(nil, "{%s:null}", quoteJSON(name)))
	return err == nil && len(changes) == 0
}

// isKnown reports whether the column needs no decision by its name alone.
func (s Settings) isKnown(name string) bool {
	_, mapped := s.Map[name]
	return mapped || name == ReasonColumn || name == s.ID || isReadOnly(name) || len(claims(name)) > 0
}

// hasFieldNames reports whether all columns have names of members of a lead, as in a
// file that was made for this API.
func (s Settings) hasFieldNames(header []string) bool {
	return !slices.ContainsFunc(header, func(name string) bool {
		_, mapped := s.Map[name]
		return name != "" && !mapped && name != ReasonColumn && name != s.ID && fieldNamed(name) == nil && !isReadOnly(name)
	})
}

// assignColumns decides what each column of a header becomes. Its error is about
// the settings.
func assignColumns(header []string, s Settings) ([]Column, error) {
	columns := make([]Column, len(header))
	owner := map[string]int{} // the column of each field
	fieldNames := s.hasFieldNames(header)
	var all []claim
	for i, name := range header {
		columns[i].Name = name
		for n := 2; slices.ContainsFunc(columns[:i], func(c Column) bool { return c.Name == columns[i].Name }); n++ {
			columns[i].Name = fmt.Sprintf("%s (%d)", name, n)
		}
		field, mapped := s.Map[columns[i].Name]
		switch {
		case mapped && field != "" && fieldNamed(field) == nil:
			_, err := lead.ParseChanges(fmt.Appendf(nil, "{%s:null}", quoteJSON(field)))
			return nil, fileError("Column %q cannot become %v", name, cmp.Or(err, error(fileError("%q: Only the server sets it.", field))))
		case mapped && field != "":
			if other, taken := owner[field]; taken {
				return nil, fileError("Columns %q and %q cannot both become %s: map one of them to another field.", header[other], name, field)
			}
			columns[i].Field, owner[field] = field, i
		case mapped, name == ReasonColumn, isReadOnly(name):
		case fieldNames && fieldNamed(name) != nil:
			all = append(all, claim{i, name, rankExact})
		default:
			for _, c := range claims(name) {
				all = append(all, claim{i, c.field, c.rank})
			}
			columns[i].Undecided = "left out?"
		}
	}
	slices.SortStableFunc(all, func(a, b claim) int { return cmp.Compare(a.rank, b.rank) })
	for _, c := range all {
		other, taken := owner[c.field]
		switch column := &columns[c.column]; {
		case column.Field != "":
		case taken:
			column.Undecided = fmt.Sprintf("left out? (%s is %s)", columns[other].Name, c.field)
		default:
			column.Field, column.Undecided, owner[c.field] = c.field, "", c.column
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
	consider := func(known, field string) {
		known = simplify(known)
		_, taken := owner[field]
		if d := levenshtein.ComputeDistance(simple, known); !taken && d < best && 4*d <= len(known) {
			best, similar = d, field
		}
	}
	for i := range lead.Fields {
		consider(lead.Fields[i].Name, lead.Fields[i].Name)
	}
	for _, a := range aliases {
		consider(a.name, a.field)
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
