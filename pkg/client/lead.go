package client

import (
	"encoding/json"
	"time"
)

// A Lead is a lead of the API with all its members.
//
// A field that is nil was never set. In a Lead to create, nil leaves the field at
// its default. Set a field with new, as in LeadName: new("Ada Lovelace"), and read
// it with [Value].
//
// A text is UTF-8 and has at most 140 characters, unless a comment says otherwise.
// The API returns it byte for byte as it was sent.
type Lead struct {
	// The server sets these members and ignores those that a client sends. The
	// times are in UTC and have whole seconds.
	ID        string    `json:"id,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`

	LeadName            *string      `json:"lead_name,omitempty"`    // full name of the person
	CompanyName         *string      `json:"company_name,omitempty"` // company that the person works for
	EmailID             *string      `json:"email_id,omitempty"`     // e-mail address, at most 254 bytes, or ""
	LeadOwner           *string      `json:"lead_owner,omitempty"`   // default "__user"
	Status              *string      `json:"status,omitempty"`       // default "Lead"
	Salutation          *string      `json:"salutation,omitempty"`
	Gender              *string      `json:"gender,omitempty"`
	Customer            *string      `json:"customer,omitempty"`
	Image               *string      `json:"image,omitempty"` // at most 2,048 characters
	Phone               *string      `json:"phone,omitempty"`
	MobileNo            *string      `json:"mobile_no,omitempty"`
	Fax                 *string      `json:"fax,omitempty"`
	Type                *string      `json:"type,omitempty"` // such as Client or Consultant
	MarketSegment       *string      `json:"market_segment,omitempty"`
	Industry            *string      `json:"industry,omitempty"`
	RequestType         *string      `json:"request_type,omitempty"`
	Company             *string      `json:"company,omitempty"` // company of yours that the lead belongs to
	Website             *string      `json:"website,omitempty"` // at most 2,048 characters
	Territory           *string      `json:"territory,omitempty"`
	Unsubscribed        *bool        `json:"unsubscribed,omitempty"`    // default false
	BlogSubscriber      *bool        `json:"blog_subscriber,omitempty"` // default false
	Title               *string      `json:"title,omitempty"`
	Language            *string      `json:"language,omitempty"`
	FirstName           *string      `json:"first_name,omitempty"`
	MiddleName          *string      `json:"middle_name,omitempty"`
	LastName            *string      `json:"last_name,omitempty"`
	NoOfEmployees       *string      `json:"no_of_employees,omitempty"` // such as "11-50"
	WhatsappNo          *string      `json:"whatsapp_no,omitempty"`
	PhoneExt            *string      `json:"phone_ext,omitempty"`
	QualifiedBy         *string      `json:"qualified_by,omitempty"`
	QualifiedOn         *string      `json:"qualified_on,omitempty"` // any text, such as "2024-01-15"
	QualificationStatus *string      `json:"qualification_status,omitempty"`
	JobTitle            *string      `json:"job_title,omitempty"`
	AnnualRevenue       *json.Number `json:"annual_revenue,omitempty"` // exact, up to 38 significant digits
	Disabled            *bool        `json:"disabled,omitempty"`       // default false
	City                *string      `json:"city,omitempty"`
	State               *string      `json:"state,omitempty"`
	Country             *string      `json:"country,omitempty"`
	UTMContent          *string      `json:"utm_content,omitempty"`
	UTMSource           *string      `json:"utm_source,omitempty"`
	UTMMedium           *string      `json:"utm_medium,omitempty"`
	UTMCampaign         *string      `json:"utm_campaign,omitempty"`
}

// Value returns the value of a field, or the zero value if the field was never
// set.
func Value[T any](field *T) T {
	if field == nil {
		var zero T
		return zero
	}
	return *field
}
