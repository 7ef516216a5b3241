package contract

import "rsc.io/script"

// An Untruth is something that a stand-in for AWS does otherwise than the
// contract says. Scripts leave a line out with the condition [!Name].
type Untruth struct {
	Name   string
	Reason string
}

// A body that is not UTF-8 does not reach the function as it was sent.
const invalidUTF8Lost = "invalid-utf8-lost"

var invalidUTF8Refused = Untruth{invalidUTF8Lost, "a body that is not UTF-8 is answered by the tool itself, with a 502"}

var invalidUTF8Mended = Untruth{invalidUTF8Lost, "a body that is not UTF-8 reaches the function as if it had been"}

var optionsAnswered = Untruth{"options-answered", "OPTIONS is answered by the tool itself, with a 403"}

var leadingSlashesMerged = Untruth{"leading-slashes-merged", "slashes at the beginning of a path reach the function as one"}

// Untruths are the known ones of each stand-in, by the stand-in's name. This
// is the only list of them: what is not here must hold.
var Untruths = map[string][]Untruth{
	"sam-local": {invalidUTF8Refused, leadingSlashesMerged},
	"ministack": {invalidUTF8Mended, optionsAnswered},
}

// conditions makes every known untruth a condition of the script language,
// true where the target has it.
func conditions(has []Untruth) map[string]script.Cond {
	conds := make(map[string]script.Cond)
	for _, list := range Untruths {
		for _, u := range list {
			conds[u.Name] = script.BoolCondition(u.Reason, false)
		}
	}
	for _, u := range has {
		conds[u.Name] = script.BoolCondition(u.Reason, true)
	}
	return conds
}
