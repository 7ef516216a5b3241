package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// minCompressed is the size in bytes from which on lists and the results of batches
// are compressed. A shorter answer fits into one network packet anyway.
const minCompressed = 1 << 10

// gzipWriters are reused, because a new one needs 1.2 MB. The fastest level makes
// a list eight times smaller, and the other levels save little more.
var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return w
}}

// compress compresses the answer with gzip, if the client accepts that and it is
// worth it.
func (w *response) compress(r *http.Request) {
	w.Header().Add("Vary", "Accept-Encoding")
	if len(w.body) < minCompressed || !acceptsGzip(r.Header) {
		return
	}
	var out bytes.Buffer
	gz := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(gz)
	gz.Reset(&out)
	gz.Write(w.body) //nolint:errcheck // a bytes.Buffer does not fail
	gz.Close()       //nolint:errcheck
	w.Header().Set("Content-Encoding", "gzip")
	w.setBody(w.status, w.Header().Get("Content-Type"), out.Bytes())
}

// acceptsGzip reports whether Accept-Encoding lists gzip, and not with quality 0.
func acceptsGzip(h http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, quality, hasQuality := strings.Cut(strings.ToLower(coding), ";")
		if strings.TrimSpace(name) == "gzip" {
			return !hasQuality || strings.Trim(quality, " \tq=0.") != ""
		}
	}
	return false
}
