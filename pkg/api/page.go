package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// page is a file that clients can read without an API key.
type page struct {
	contentType string
	gzip        []byte // the content, compressed
	tag         string // the entity tag of the compressed content, without quotes
}

// pagePolicy lets a page load files and send requests to its own server only.
// Inline scripts do not run. Inline styles are allowed, because RapiDoc has some.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// NewPage returns a route for GET and HEAD that serves a file without an API key.
// The content is compressed with gzip.
func NewPage(name, path, contentType string, content []byte) Route {
	tag := fmt.Sprintf("%x", sha256.Sum256(content))[:32]
	return Route{Name: name, Method: http.MethodGet, Path: path, page: &page{contentType, content, tag}}
}

// serve makes the page the answer.
func (p *page) serve(w *response, r *http.Request) error {
	body, tag := p.gzip, p.tag+"-gzip"
	h := w.Header()
	if acceptsGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
	} else {
		var err error
		if body, err = decompress(p.gzip); err != nil {
			return err
		}
		tag = p.tag
	}
	h.Set("Etag", `"`+tag+`"`)
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Add("Vary", "Accept-Encoding")
	if matchesTag(r.Header, `"`+tag+`"`) {
		h.Del("Content-Encoding")
		w.status = http.StatusNotModified
		return nil
	}
	w.setBody(http.StatusOK, p.contentType, body)
	return nil
}

// matchesTag reports whether If-None-Match lists this tag, or all tags.
func matchesTag(h http.Header, tag string) bool {
	for listed := range strings.SplitSeq(strings.Join(h.Values("If-None-Match"), ","), ",") {
		listed = strings.TrimSpace(listed)
		if listed == "*" || strings.TrimPrefix(listed, "W/") == tag {
			return true
		}
	}
	return false
}

func decompress(content []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
