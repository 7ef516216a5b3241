package dynamo

import (
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// TestAKeyThatCannotBeReadIsRefused spoils one attribute after the other of a
// key as it is stored.
func TestAKeyThatCannotBeReadIsRefused(t *testing.T) {
	good := item{
		attrHash:    &types.AttributeValueMemberB{Value: make([]byte, 32)},
		attrAccount: text("acme"), attrMode: text("live"), attrScopes: text("read,write"),
		attrSince: number(1), attrUntil: number(2), attrRevoked: number(3),
	}
	k, err := keyFromItem("id", good)
	if err != nil || k.CreatedAt.Unix() != 1 || k.ExpiresAt.Unix() != 2 || k.RevokedAt.Unix() != 3 {
		t.Fatalf("a good key is read as %+v, %v", k, err)
	}
	for name, bad := range map[string]types.AttributeValue{
		attrHash:    &types.AttributeValueMemberB{Value: make([]byte, 31)},
		attrScopes:  text("all"),
		attrSince:   text("1"),
		attrUntil:   text("2"),
		attrRevoked: &types.AttributeValueMemberN{Value: "soon"},
	} {
		spoilt := maps.Clone(good)
		spoilt[name] = bad
		if k, err := keyFromItem("id", spoilt); err == nil {
			t.Errorf("with %s spoilt it is read as %+v, want an error", name, k)
		}
	}
}
