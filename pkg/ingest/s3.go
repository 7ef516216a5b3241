package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
)

// Files are the files in S3.
type Files interface {
	// Open returns the content of a file from an offset in bytes, and its metadata
	// "mapping". It returns [ErrFileGone] if this version of the file does not exist
	// any more. Without an ETag, any version is opened.
	Open(ctx context.Context, f File, offset int64) (content io.ReadCloser, mapping string, err error)

	// Put writes a file. It replaces a file with the same key.
	Put(ctx context.Context, bucket, key string, content []byte) error
}

const (
	// rejectedPrefix is the folder of the files with rejected rows.
	rejectedPrefix = "rejected/"

	// settingsName is the name of the file with the settings for the files in the
	// same folder, a [leadfile.Settings].
	settingsName = "mapping.json"

	// mappingMetadata is the metadata of a file with its settings.
	mappingMetadata = "mapping"
)

// isIgnored reports whether a file has no leads by its name: a folder as the
// console creates it, the settings, what this function writes, hidden files, and
// marks of Hadoop and Spark such as _SUCCESS.
func isIgnored(key string) bool {
	base := path.Base(key)
	return strings.HasSuffix(key, "/") || strings.HasSuffix(key, "_$folder$") || base == settingsName ||
		strings.HasPrefix(key, rejectedPrefix) || base[0] == '.' || base[0] == '_'
}

// ErrFileGone is the error of a file that was replaced or deleted.
var ErrFileGone = errors.New("the file was replaced or deleted")

// File is one version of an object in S3.
type File struct {
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	Version string `json:"version,omitempty"` // "" in a bucket without versions
	ETag    string `json:"etag"`
}

func (f File) String() string { return "s3://" + f.Bucket + "/" + f.Key }

// record returns the record for a line of the file; 0 is the whole file.
func (f File) record(line int, body []byte) record {
	version := f.Version
	if version == "" || version == "null" { // "null" in a bucket with suspended versioning
		version = f.ETag
	}
	// Only the key may contain a slash, so it is last.
	id := fmt.Sprintf("%s/%s/%d/%s", f.Bucket, version, line, f.Key)
	r := newRecord("s3", id, fmt.Sprintf("%s line %d", f, line), body)
	r.key.Key = id
	return r
}

// s3Event is a list of notifications of S3, see
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html.
type s3Event []events.S3EventRecord

func parseS3(list json.RawMessage) (event, error) {
	var e s3Event
	if err := json.Unmarshal(list, &e); err != nil {
		return nil, errUnexpected("a record is not a notification as S3 sends it")
	}
	for _, n := range e {
		switch {
		// The name begins with "s3:" in notifications that come through SNS or SQS.
		case !strings.HasPrefix(strings.TrimPrefix(n.EventName, "s3:"), "ObjectCreated:"):
			return nil, errUnexpected("its event %.60q is not ObjectCreated", n.EventName)
		case n.S3.Bucket.Name == "" || n.S3.Object.Key == "" || n.S3.Object.ETag == "":
			return nil, errUnexpected("a notification lacks the bucket name, the key or the eTag")
		case !utf8.ValidString(n.S3.Object.URLDecodedKey):
			return nil, errUnexpected("a key is not encoded as S3 encodes keys")
		}
	}
	return e, nil
}

func (s3Event) kind() string { return "s3" }

func (e s3Event) handle(ctx context.Context, v *invocation) ([]byte, error) {
	for _, n := range e {
		o := n.S3.Object
		f := File{Bucket: n.S3.Bucket.Name, Key: o.URLDecodedKey, Version: o.VersionID, ETag: o.ETag}
		if isIgnored(f.Key) {
			continue
		}
		if err := v.splitFile(ctx, f, leadfile.Position{}); err != nil {
			return nil, &lead.UnavailableError{RetryAfter: time.Second, Err: err}
		}
	}
	return nil, nil
}
