package leadfile

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// FindEncoding returns the encoding with this name, such as utf-16le,
// windows-1252, cp850 or macintosh. It knows UTF-8, UTF-16 and the encodings with
// one byte for each character.
func FindEncoding(name string) (encoding.Encoding, bool) {
	simple := simplify(name)
	switch simple {
	case "", "utf8":
		return unicode.UTF8, true
	case "utf16", "utf16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), true
	case "utf16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), true
	case "latin1":
		simple = "iso88591"
	case "macroman", "mac":
		simple = "macintosh"
	}
	for _, prefix := range []string{"cp125", "cp", "ibm"} {
		if rest, ok := strings.CutPrefix(simple, prefix); ok {
			simple = map[string]string{"cp125": "windows125", "cp": "ibmcodepage", "ibm": "ibmcodepage"}[prefix] + rest
			break
		}
	}
	for _, e := range charmap.All {
		if simplify(fmt.Sprint(e)) == simple {
			return e, true
		}
	}
	return nil, false
}

// detectUnicode returns utf-8, utf-16le or utf-16be if the text begins with a
// byte order mark or looks like UTF-16, else "".
func detectUnicode(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte(byteOrderMark)):
		return "utf-8"
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return "utf-16le"
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return "utf-16be"
	}
	// One byte of each separator and line end is zero, whatever the language.
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch few := max(len(head)/25, 3); {
	case zeros[1] > few && zeros[0] == 0:
		return "utf-16le"
	case zeros[0] > few && zeros[1] == 0:
		return "utf-16be"
	}
	return ""
}

// describeOther says what a file without rows is, such as "a PDF document",
// and what to do about it. It returns "" for text.
func describeOther(head []byte) string {
	kind := http.DetectContentType(head)
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(head, []byte{0, 0, 0xfe, 0xff}):
		return "in UTF-32: save it as UTF-8"
	case strings.HasPrefix(kind, "text/html"):
		return "a web page (HTML): open it in a spreadsheet and save it as CSV"
	case strings.HasPrefix(kind, "text/xml"):
		return "an XML document: export CSV instead"
	case kind == "application/pdf":
		return "a PDF document: export CSV instead"
	case kind == "application/zip" && (bytes.Contains(head, []byte("xl/")) || bytes.Contains(head, []byte("[Content_Types].xml"))):
		return "an Excel workbook, which only leads import can read: use that, or save it as CSV UTF-8"
	case kind == "application/zip" && bytes.Contains(head, []byte("opendocument")):
		return "an OpenDocument file: save it as CSV"
	case kind == "application/zip", strings.Contains(kind, "gzip"), strings.Contains(kind, "rar"):
		return "an archive (" + strings.TrimPrefix(kind, "application/") + "): unpack it first"
	case bytes.HasPrefix(head, []byte{0xd0, 0xcf, 0x11, 0xe0}):
		return "an old Excel workbook (.xls) or one with a password: save it as .xlsx without a password, or as CSV UTF-8"
	case bytes.HasPrefix(bytes.ToUpper(head), []byte("BEGIN:VCARD")):
		return "a file of vCards: export CSV instead"
	case strings.HasPrefix(kind, "image/"), strings.HasPrefix(kind, "audio/"), strings.HasPrefix(kind, "video/"):
		return "a file of the type " + kind
	}
	return ""
}

// guessEncoding returns the likely encoding of a text that is not UTF-8, or "" if
// it is UTF-8, or UTF-8 with damaged characters.
func guessEncoding(sample []byte) string {
	letter := func(i int) bool {
		return i >= 0 && i < len(sample) && (sample[i] >= 0x80 || 'a' <= sample[i]|0x20 && sample[i]|0x20 <= 'z')
	}
	var high, valid, inWords, runs, low, western, mac, central, japanese int
	for i := 0; i < len(sample); {
		r, size := utf8.DecodeRune(sample[i:])
		if size > 1 {
			valid++
		} else if c := sample[i]; r == utf8.RuneError && len(sample)-i >= utf8.UTFMax { // a character at the end may be cut
			high++
			if 0xa1 <= c && c <= 0xbf {
				low++
			}
			if letter(i-1) || letter(i+1) {
				inWords++
			}
			if i > 1 && sample[i-1] >= 0x80 && sample[i-2] >= 0x80 {
				runs++
			}
			if 0x81 <= c && c <= 0x9f && (sample[i+1] >= 0x80 || '@' <= sample[i+1] && sample[i+1] < 'a') {
				japanese++
			}
			switch {
			// Letters in windows-1250 that are signs in windows-1252.
			case strings.IndexByte("\xb3\xb9\xbf\xa5\xaf\x9f\x8f", c) >= 0 && letter(i-1), c == 0xa3 && letter(i+1):
				central++
			case c >= 0xc0:
				western++
			// Letters in macintosh that are seldom in windows-1252: not its quotes,
			// its dashes and œ.
			case c <= 0x9f && strings.IndexByte("\x85\x91\x92\x93\x94\x95\x96\x97\x99\x8c\x9c", c) < 0 && letter(i-1):
				mac++
			}
		}
		i += size
	}
	switch {
	case inWords == 0 || valid > high: // some characters are damaged
		return ""
	case 2*japanese > high:
		return "shift_jis"
	case 3*runs > high && 8*low > high:
		return "gbk, big5 or euc-kr"
	case 3*runs > high:
		return "windows-1251"
	case central > 0:
		return "windows-1250"
	case mac > western:
		return "macintosh"
	}
	return "windows-1252"
}
