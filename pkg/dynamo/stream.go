package dynamo

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Change is what one record of the table's stream says of a lead.
type Change struct {
	Tenant        lead.Tenant
	Before, After *lead.Lead // nil where there was none, or is none any more
}

// ChangeOf reads a record of the table's stream from its two images, of which
// one may be empty. It reports false for an item that is no lead.
func ChangeOf(before, after map[string]types.AttributeValue) (c Change, ok bool) {
	for _, image := range []struct {
		item
		of **lead.Lead
	}{{before, &c.Before}, {after, &c.After}} {
		if stringOf(image.item[attrSK]) != leadSort {
			continue
		}
		account, mode, _ := strings.Cut(stringOf(image.item[attrTenant]), "/")
		c.Tenant = lead.Tenant{Account: account, Mode: lead.Mode(mode)}
		l := leadOf(image.item)
		*image.of = &l
	}
	return c, c.Before != nil || c.After != nil
}
