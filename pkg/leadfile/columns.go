package leadfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
	{"phone", "Phone Number (Work)", "Capsule"},
	{"phone", "Work Direct Phone", "Apollo"},
	{"phone", "Direct Phone Number", "ZoomInfo"},
	{"mobile_no", "Mobile Phone", "Outlook, Marketo"},
	{"mobile_no", "Mobile Phone Number", "HubSpot"},
	{"mobile_no", "Mobile", "Salesforce, Zoho, Odoo"},
	{"mobile_no", "Mobile Number", "plain lists"},
	{"mobile_no", "Cell Phone", "Eventbrite"},
	{"mobile_no", "Phone - Mobile", "Constant Contact, Pipedrive, Nimble"},
	{"mobile_no", "Phone Number (Mobile)", "Capsule"},
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
	{"industry", "Company Industry", "Intercom"},
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

// knownNames are all of them, the more exact first.
var knownNames = listKnownNames()

func listKnownNames() (names []knownName) {
	// Everybody else calls the lead's company and job so.
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
	for _, a := range aliases {
		simple = append(simple, knownName{field: a.field, name: simplify(a.name)})
	}
	for _, p := range prefixes {
		for _, k := range simple {
			if slices.Contains(p.fields, k.field) {
				prefixed = append(prefixed, knownName{field: k.field, name: simplify(p.prefix) + k.name, prefixed: true})
			}
		}
	}
	return slices.Concat(names, simple, prefixed, last)
}

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

// isSetAside reports whether a column is left out or has another use by its name: a
// lead has it but only the server sets it, it has reasons, or it tells rows apart.
func (s Settings) isSetAside(name string) bool {
	return name == "id" || name == "created_at" || name == "updated_at" || name == ReasonColumn || name == s.ID
}

// isKnown reports whether the column needs no decision by its name alone.
func (s Settings) isKnown(name string) bool {
	_, mapped := s.Map[name]
	simple := simplify(name)
	return mapped || s.isSetAside(name) || slices.ContainsFunc(knownNames, func(k knownName) bool { return k.matches(name, simple) })
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
	for _, k := range knownNames {
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
	for _, k := range knownNames {
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
