// Package docs has the OpenAPI document and a web page that shows it and sends
// requests to the API. Nothing on the page is loaded from another server.
package docs

import (
	"bytes"
	"compress/gzip"
	_ "embed"

	"overplane.dev/leads/pkg/api"
)

//go:generate go -C ../.. run ./tools/openapi

var (
	//go:embed openapi.json
	document []byte
	//go:embed index.html
	page []byte
	//go:embed page.js
	script []byte
	//go:embed rapidoc/rapidoc-min.js.gz
	rapidoc []byte // compressed
)

// Routes returns the routes /docs and /openapi.json, and those of the files that
// the page loads.
func Routes() []api.Route {
	const javascript = "text/javascript; charset=utf-8"
	return []api.Route{
		api.NewPage("docs", "/docs", "text/html; charset=utf-8", compress(page)),
		api.NewPage("docs", "/docs/page.js", javascript, compress(script)),
		api.NewPage("docs", "/docs/rapidoc-min.js", javascript, rapidoc),
		api.NewPage("docs", "/openapi.json", "application/json", compress(document)),
	}
}

func compress(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(content) //nolint:errcheck // a bytes.Buffer does not fail
	w.Close()        //nolint:errcheck
	return out.Bytes()
}
