package lead

import (
	"math"
	"strings"

	"github.com/hbollon/go-edlib"
)

// synonyms are other common names of fields, as plainName writes them.
var synonyms = map[string]string{
	"email": "email_id", "mail": "email_id", "emailaddress": "email_id",
	"name": "lead_name", "fullname": "lead_name", "contactname": "lead_name",
	"surname": "last_name", "familyname": "last_name", "givenname": "first_name", "forename": "first_name",
	"organization": "company_name", "organisation": "company_name", "employer": "company_name", "business": "company_name",
	"mobile": "mobile_no", "mobilephone": "mobile_no", "mobilenumber": "mobile_no", "cell": "mobile_no", "cellphone": "mobile_no",
	"telephone": "phone", "tel": "phone", "phonenumber": "phone", "phoneno": "phone", "extension": "phone_ext",
	"whatsapp": "whatsapp_no", "whatsappnumber": "whatsapp_no", "faxnumber": "fax",
	"url": "website", "homepage": "website", "site": "website", "web": "website",
	"owner": "lead_owner", "job": "job_title", "position": "job_title", "role": "job_title",
	"employees": "no_of_employees", "numberofemployees": "no_of_employees", "employeecount": "no_of_employees", "companysize": "no_of_employees",
	"revenue": "annual_revenue", "turnover": "annual_revenue", "segment": "market_segment", "sector": "industry",
	"town": "city", "province": "state", "region": "territory", "lang": "language", "sex": "gender", "photo": "image", "picture": "image",
	"source": "utm_source", "medium": "utm_medium", "campaign": "utm_campaign",
}

// suggestName returns the name of the member that an unknown name most likely
// means, or "" if none is close. A name is close if it differs only in case and
// separators, if it is one of the synonyms, or if it differs by few edits
// (https://en.wikipedia.org/wiki/Damerau–Levenshtein_distance): one in a field of
// four letters, two in one of eight. For a read-only member, which is rarely meant,
// half as many edits are allowed.
func suggestName(unknown string) (suggestion string) {
	if len(unknown) > 64 { // longer than any name, and slow to compare
		return ""
	}
	plain := plainName(unknown)
	if name, ok := synonyms[plain]; ok {
		return name
	}
	least := math.MaxInt
	consider := func(name string, lettersPerEdit int) {
		known := plainName(name)
		if n := edlib.OSADamerauLevenshteinDistance(plain, known); n <= len(known)/lettersPerEdit && n < least {
			least, suggestion = n, name
		}
	}
	for _, f := range Fields {
		consider(f.Name, 4)
	}
	for _, name := range readOnly {
		consider(name, 8)
	}
	return suggestion
}

// plainName returns a name in lower case without separators.
func plainName(name string) string {
	return strings.NewReplacer("_", "", " ", "", "-", "", ".", "").Replace(strings.ToLower(name))
}
