package dynamo

import (
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"overplane.dev/leads/pkg/lead"
)

// TestMarksKeepCellsApart counts as many leads as a page takes in each cell of
// a period.
func TestMarksKeepCellsApart(t *testing.T) {
	tenant := lead.Tenant{Account: "acme", Mode: lead.Test}
	start := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	book := itemKey(booksOf(tenant), period(start)+"/0.0")
	want := map[string]int64{}
	for at := start; at.Before(start.Add(periodTime)); at = at.Add(time.Second) {
		cell := cellOf(at)
		for letter, n := range map[string]int64{"c": bookMost - int64(len(want)), "x": 1} {
			if want[letter+cell] > 0 {
				continue // another second of the cell
			}
			m := cellMark(letter, cell)
			add(book, m.name, m.value(n))
			want[letter+cell] = n
		}
	}
	want["d2025-02-27T14:2"] = 12_345
	m := spanMark("d", "2025-02-27T14:2")
	add(book, m.name, m.value(12_345))

	got := map[string]int64{}
	eachMark(book, func(letter byte, span string, n int64) { got[string(letter)+span] += n })
	if !maps.Equal(got, want) {
		t.Errorf("%d marks: %v, want %d: %v", len(got), got, len(want), want)
	}
	for name, value := range book {
		if n, ok := value.(*types.AttributeValueMemberN); ok && len(n.Value) > 28 {
			t.Errorf("%s has more digits than emulators keep: %s", name, n.Value)
		}
	}
}
