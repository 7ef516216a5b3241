package contract

// KnownDeviations lists, for each stand-in for AWS, the scripts that fail because
// it behaves differently from AWS. Everything that is not in this list must hold.
var KnownDeviations = map[string]map[string]string{
	"sam-local": {
		"not-utf-8":       "sam local itself answers a body that is not UTF-8, with 502",
		"leading-slashes": "sam local merges slashes at the beginning of a path",
	},
	"rest-api": {
		"compression": "a REST API sends base64 text as it is, unless it has binary media types",
	},
	"ministack": {
		"not-utf-8": "MiniStack replaces bytes of a body that are not UTF-8",
		"options":   "MiniStack itself answers OPTIONS, with 403",
	},
}
