package dynamo

import (
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// TestInvalidKeyItemIsAnError makes one attribute after the other of a stored key
// invalid.
func TestInvalidKeyItemIsAnError(t *testing.T) {
	valid := item{
		attrHash:    &types.AttributeValueMemberB{Value: make([]byte, 32)},
		attrAccount: text("acme"), attrMode: text("live"), attrScopes: text("read,write"),
		attrSince: number(1), attrUntil: number(2), attrRevoked: number(3),
	}
	k, err := keyFromItem("id", valid)
	if err != nil || k.CreatedAt.Unix() != 1 || k.ExpiresAt.Unix() != 2 || k.RevokedAt.Unix() != 3 {
		t.Fatalf("a valid item: got %+v, %v", k, err)
	}
	for name, value := range map[string]types.AttributeValue{
		attrHash:    &types.AttributeValueMemberB{Value: make([]byte, 31)},
		attrScopes:  text("all"),
		attrSince:   text("1"),
		attrUntil:   text("2"),
		attrRevoked: &types.AttributeValueMemberN{Value: "soon"},
	} {
		invalid := maps.Clone(valid)
		invalid[name] = value
		if k, err := keyFromItem("id", invalid); err == nil {
			t.Errorf("with an invalid %s: got %+v, want an error", name, k)
		}
	}
}
