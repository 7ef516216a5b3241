package dynamo

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// Change is a change of a lead, as a record of the table's stream describes it.
type Change struct {
	Tenant        lead.Tenant
	Before, After *lead.Lead // nil if the lead did not exist then
}

// ChangeOf returns the change in a stream record from the images of the item
// before and after the change, of which one may be empty. It returns false if
// the item is not a lead. For versionOffset see [Table].
func ChangeOf(before, after map[string]types.AttributeValue, versionOffset int64) (c Change, ok bool) {
	for _, image := range []struct {
		item item
		lead **lead.Lead
	}{{before, &c.Before}, {after, &c.After}} {
		if stringOf(image.item[attrSK]) != leadSort {
			continue
		}
		account, mode, _ := strings.Cut(stringOf(image.item[attrTenant]), "/")
		c.Tenant = lead.Tenant{Account: account, Mode: lead.Mode(mode)}
		l := leadFromItem(image.item, versionOffset)
		*image.lead = &l
	}
	return c, c.Before != nil || c.After != nil
}
