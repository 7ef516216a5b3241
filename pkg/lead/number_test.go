package lead

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

func TestParseNumber(t *testing.T) {
	nines, ones := strings.Repeat("9", 38), strings.Repeat("1", 38)
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "-0.000e5": "0", "0e999999999999999999999": "0", "-0e-999999999999999999999": "0",
		"1": "1", "-1": "-1", "10": "10", "1e1": "10", "1E+1": "10", "100e-2": "1", "1.0": "1", "1.50": "1.5", "-0.5": "-0.5",
		"1e20": "100000000000000000000", "1e21": "1e21", "123e19": "1.23e21", "-1e21": "-1e21", "12345678901234567890123": "1.2345678901234567890123e22",
		"0.1": "0.1", "0.0000001": "0.0000001", "1e-7": "0.0000001", "1e-8": "1e-8", "0.00000001": "1e-8", "12e-9": "1.2e-8",
		"1250000.5": "1250000.5", "0.30000000000000004": "0.30000000000000004",

		// 38 significant digits, wherever the point stands.
		nines:                                   "9." + nines[1:] + "e37",
		nines + "000":                           "9." + nines[1:] + "e40",
		"0.000" + ones:                          "0.000" + ones,
		ones[:19] + "." + ones[19:] + "00000":   ones[:19] + "." + ones[19:],
		nines + "9":                             "",
		"1" + strings.Repeat("0", 37) + "1":     "",
		"1." + strings.Repeat("0", 37) + "1":    "",
		"-" + ones + "1":                        "",
		"1" + strings.Repeat("0", 37) + "1e-39": "",

		// Magnitudes from 1e-130 to below 1e126.
		"1e-130": "1e-130", "9.9e-131": "", "1e-131": "", "0.1e-129": "1e-130", "10e-131": "1e-130", "-1e-130": "-1e-130", "-1e-131": "",
		"1e125": "1e125", "9.9e125": "9.9e125", "1e126": "", "10e124": "1e125", "10e125": "", "0.1e126": "1e125", "-1e126": "",
		"1" + strings.Repeat("0", 125): "1e125", "1" + strings.Repeat("0", 126): "",
		"0." + strings.Repeat("0", 129) + "1":          "1e-130",
		"0." + strings.Repeat("0", 130) + "1":          "",
		"0." + strings.Repeat("0", 20_000) + "1e20001": "1",
		"1" + strings.Repeat("0", 20_000) + "e-20000":  "1",
		nines[:1] + "." + nines[1:] + "e125":           nines[:1] + "." + nines[1:] + "e125",
		nines[:1] + "." + nines[1:] + "e-130":          nines[:1] + "." + nines[1:] + "e-130",
		"1e999":                                        "", "1e-999": "", "1e9223372036854775807": "", "1e-9223372036854775808": "", "1e99999999999999999999999": "", "-1e-99999999999999999999999": "",
	} {
		got, ok := ParseNumber(text)
		if string(got) != want || ok != (want != "") {
			t.Errorf("ParseNumber(%s) = %q, %t, want %q", abridged(text), got, ok, want)
		}
	}
}

func abridged(text string) string {
	if len(text) > 200 {
		return text[:100] + "…" + text[len(text)-100:]
	}
	return text
}

// decimal is the value of a JSON number: digits × 10^exponent.
type decimal struct {
	digits   *big.Int
	exponent int64
}

// value returns the decimal exactly. Its exponent must be small.
func (d decimal) value() *big.Rat {
	power := new(big.Int).Exp(big.NewInt(10), new(big.Int).Abs(big.NewInt(d.exponent)), nil)
	if d.exponent < 0 {
		return new(big.Rat).SetFrac(d.digits, power)
	}
	return new(big.Rat).SetInt(power.Mul(power, d.digits))
}

// fits reports whether a DynamoDB number can hold the decimal.
func (d decimal) fits() bool {
	if d.digits.Sign() == 0 {
		return true
	}
	if d.exponent > 1000 || d.exponent < -1000 { // the digits drawn are fewer
		return false
	}
	significant, ten, rest := new(big.Int).Abs(d.digits), big.NewInt(10), new(big.Int)
	for {
		shorter, _ := new(big.Int).QuoRem(significant, ten, rest)
		if rest.Sign() != 0 {
			break
		}
		significant = shorter
	}
	if significant.Cmp(new(big.Int).Exp(ten, big.NewInt(38), nil)) >= 0 {
		return false
	}
	size := new(big.Rat).Abs(d.value())
	least, beyond := decimal{big.NewInt(1), -130}.value(), decimal{big.NewInt(1), 126}.value()
	return size.Cmp(least) >= 0 && size.Cmp(beyond) < 0
}

// drawNumber draws the text of a JSON number, and its value.
func drawNumber(t *rapid.T) (string, decimal) {
	whole := rapid.StringMatching(`0|[1-9][0-9]{0,5}|[1-9][0-9]{30,40}|[1-9]0{30,140}`).Draw(t, "whole")
	fraction := rapid.StringMatching(`|[0-9]{1,5}|[0-9]{30,40}|0{30,140}[1-9]?`).Draw(t, "fraction")
	exponent := rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(-180, 180), rapid.Int64Range(-5000, 5000), rapid.Int64()).Draw(t, "exponent")
	text := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + whole
	if fraction != "" {
		text += "." + fraction
	}
	digits, _ := new(big.Int).SetString(strings.ReplaceAll(text, ".", ""), 10)
	if exponent != 0 || rapid.Bool().Draw(t, "e0") {
		format := "%s%s%d"
		if exponent >= 0 {
			format = rapid.SampledFrom([]string{"%s%s%d", "%s%s+%d", "%s%s0%d"}).Draw(t, "exponent's form")
		}
		text = fmt.Sprintf(format, text, rapid.SampledFrom([]string{"e", "E"}).Draw(t, "e"), exponent)
	}
	// Avoid an overflow. The number is far out of range either way.
	if exponent > -1<<62 {
		exponent -= int64(len(fraction))
	}
	return text, decimal{digits, exponent}
}

func TestNumbersAreExactOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, want := drawNumber(t)
		n, ok := ParseNumber(text)
		if ok != want.fits() {
			t.Fatalf("ParseNumber(%s) = %q, %t, want %t", text, n, ok, want.fits())
		}
		if !ok {
			return
		}
		if v := jsontext.Value(n); !v.IsValid() || v.Kind() != '0' {
			t.Fatalf("%s is not a JSON number", n)
		}
		value, valid := new(big.Rat).SetString(string(n))
		if !valid || want.digits.Sign() != 0 && value.Cmp(want.value()) != 0 || want.digits.Sign() == 0 && n != "0" {
			t.Fatalf("%s became %s", text, n)
		}
		if again, ok := ParseNumber(string(n)); !ok || again != n {
			t.Fatalf("%s became %s when it was read again", n, again)
		}
	})
}

func TestEqualNumbersHaveEqualTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, want := drawNumber(t)
		n, ok := ParseNumber(text)
		if !ok || want.digits.Sign() == 0 {
			return
		}
		zeros := rapid.IntRange(0, 50).Draw(t, "zeros")
		other := fmt.Sprintf("%v%se%d", want.digits, strings.Repeat("0", zeros), want.exponent-int64(zeros))
		if same, ok := ParseNumber(other); !ok || same != n {
			t.Fatalf("%s became %s, and %s became %s", text, n, other, same)
		}
	})
}
