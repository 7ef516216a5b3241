package lead

import (
	"strconv"
	"strings"
)

// Number is a decimal number in canonical form: plain digits where they are few,
// otherwise scientific notation, without unnecessary zeros or a negative zero. It
// is valid JSON, and equal numbers have equal texts.
type Number string

// The limits of a DynamoDB number, see
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html.
const (
	maxDigits    = 38
	minMagnitude = -130 // of 1e-130
	maxMagnitude = 125  // of 9.99…e125
)

// ParseNumber parses a JSON number. It reports false for one that cannot be
// stored exactly: more than 38 significant digits, or a magnitude other than 0
// and 1e-130 to 9.99…e125.
func ParseNumber(text string) (Number, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	exponent := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		// Atoi returns the nearest int for an exponent that is out of range.
		// The limit keeps the additions below from overflowing.
		exponent, _ = strconv.Atoi(digits[i+1:])
		exponent = min(max(exponent, -1<<40), 1<<40)
		digits = digits[:i]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	exponent -= len(fraction)
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent += len(digits)
	digits = strings.TrimRight(digits, "0")
	exponent -= len(digits)
	if digits == "" {
		return "0", true
	}

	// The number is digits × 10^exponent.
	magnitude := exponent + len(digits) - 1
	if len(digits) > maxDigits || magnitude < minMagnitude || magnitude > maxMagnitude {
		return "", false
	}
	text = formatNumber(digits, exponent, magnitude)
	if negative {
		text = "-" + text
	}
	return Number(text), true
}

func formatNumber(digits string, exponent, magnitude int) string {
	switch {
	case exponent >= 0 && magnitude < 21: // as JavaScript does
		return digits + strings.Repeat("0", exponent)
	case exponent < 0 && magnitude >= 0:
		return digits[:magnitude+1] + "." + digits[magnitude+1:]
	case exponent < 0 && magnitude >= -7:
		return "0." + strings.Repeat("0", -magnitude-1) + digits
	}
	text := digits[:1]
	if len(digits) > 1 {
		text += "." + digits[1:]
	}
	return text + "e" + strconv.Itoa(magnitude)
}
