// Package fakeaws is an HTTP server that answers like SQS, S3 and EventBridge, for
// tests and for trying functions without AWS. It implements SendMessageBatch,
// GetObject, PutObject and PutEvents.
package fakeaws

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server is all three services. Its fields may be read and set only
// while no request is in progress.
type Server struct {
	URL string // set by Start

	// Fault, if set, is called before each request. If it returns true, the answer
	// is AccessDenied, which the SDK does not retry.
	Fault func(Call) bool
	// Refuse makes SQS and EventBridge refuse each entry of a request.
	Refuse bool
	// Deliver, if set, receives the messages of standard queues, which are then
	// not appended to Messages.
	Deliver func(Message)

	Calls    []Call
	Messages []Message // in the order in which they were sent, without duplicates in a FIFO queue
	Events   []json.RawMessage
	Ranges   []string // Range headers of requests for files

	mu      sync.Mutex
	known   map[string]bool // deduplication ids of FIFO queues
	objects map[string]Object
}

// A Call is what an IAM policy must allow for a request: an action and a
// resource. The resource is the name of a queue, a bus or a bucket, or the name
// of a bucket with /*.
type Call struct{ Action, Resource string }

// A Message is a message that was sent to a queue.
type Message struct {
	Queue               string
	Body                string
	Group, Deduplicated string // group and deduplication id, only in a FIFO queue
	Attributes          map[string]string
}

// An Object is a file in S3 with one version.
type Object struct {
	Bucket, Key, Version, ETag string
	Mapping                    string // the metadata x-amz-meta-mapping, or ""
	Content                    io.ReaderAt
	Size                       int64
}

// Bundle returns the name of a file with the certificate of a TLS server, for the
// variable AWS_CA_BUNDLE.
func Bundle(t testing.TB, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// New returns a server that does not listen yet: use it as an [http.Handler].
func New() *Server { return &Server{known: map[string]bool{}, objects: map[string]Object{}} }

// Start starts a server, which ends with the test, and sets the environment
// variables that awsenv reads.
func Start(t testing.TB) *Server {
	t.Helper()
	s := New()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	} {
		t.Setenv(name, value)
	}
	return s
}

// Put stores a file. It replaces a file with the same key.
func (s *Server) Put(o Object) { s.objects[o.Bucket+"/"+o.Key] = o }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get("X-Amz-Target") {
	case "AmazonSQS.SendMessageBatch":
		s.sendMessages(w, r)
	case "AWSEvents.PutEvents":
		s.putEvents(w, r)
	case "":
		if r.Method == http.MethodPut {
			s.putObject(w, r)
		} else {
			s.getObject(w, r)
		}
	default:
		http.Error(w, `{"__type":"UnknownOperationException"}`, http.StatusBadRequest)
	}
}

// called records a call and reports whether it is allowed.
func (s *Server) called(w http.ResponseWriter, action, resource string) bool {
	call := Call{action, resource}
	s.Calls = append(s.Calls, call)
	if s.Fault == nil || !s.Fault(call) {
		return true
	}
	http.Error(w, `{"__type":"AccessDeniedException"}`, http.StatusForbidden)
	return false
}

const (
	maxEntries = 10
	maxRequest = 1 << 20 // bytes
)

// sendMessages is https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html.
func (s *Server) sendMessages(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	type entry struct {
		ID            string `json:"Id"`
		Body          string `json:"MessageBody"`
		Group         string `json:"MessageGroupId"`
		Deduplication string `json:"MessageDeduplicationId"`
		Attributes    map[string]struct {
			Type  string `json:"DataType"`
			Value string `json:"StringValue"`
		} `json:"MessageAttributes"`
	}
	var in struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []entry
	}
	if !read(r, &in) || len(in.Entries) == 0 || len(in.Entries) > maxEntries {
		http.Error(w, `{"__type":"com.amazonaws.sqs#BatchRequestTooLong"}`, http.StatusBadRequest)
		return
	}
	queue := path.Base(in.QueueURL)
	isFIFO := strings.HasSuffix(queue, ".fifo")
	if !s.called(w, "sqs:SendMessage", queue) {
		return
	}
	type result struct {
		ID   string `json:"Id"`
		MD5  string `json:"MD5OfMessageBody,omitempty"`
		Code string `json:",omitempty"`
	}
	var out struct{ Successful, Failed []result }
	for _, e := range in.Entries {
		if s.Refuse || isFIFO != (e.Group != "" && e.Deduplication != "") {
			out.Failed = append(out.Failed, result{ID: e.ID, Code: "InternalError"})
			continue
		}
		out.Successful = append(out.Successful, result{ID: e.ID, MD5: fmt.Sprintf("%x", md5.Sum([]byte(e.Body)))})
		m := Message{queue, e.Body, e.Group, e.Deduplication, map[string]string{}}
		for name, a := range e.Attributes {
			m.Attributes[name] = a.Value
		}
		if id := queue + " " + e.Deduplication; isFIFO && s.known[id] {
			continue
		} else if isFIFO {
			s.known[id] = true
		} else if s.Deliver != nil {
			s.Deliver(m)
			continue
		}
		s.Messages = append(s.Messages, m)
	}
	answer(w, out)
}

// putEvents is https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html.
func (s *Server) putEvents(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct{ Entries []json.RawMessage }
	if !read(r, &in) || len(in.Entries) > maxEntries {
		http.Error(w, `{"__type":"ValidationException"}`, http.StatusBadRequest)
		return
	}
	type result struct {
		ID   string `json:"EventId,omitempty"`
		Code string `json:"ErrorCode,omitempty"`
	}
	var results []result
	for i, e := range in.Entries {
		var entry struct {
			Bus string `json:"EventBusName"`
		}
		json.Unmarshal(e, &entry) // cannot fail, because read has parsed it
		if !s.called(w, "events:PutEvents", entry.Bus) {
			return
		}
		if s.Refuse {
			results = append(results, result{Code: "ThrottlingException"})
			continue
		}
		results = append(results, result{ID: fmt.Sprintf("event-%d", i)})
		s.Events = append(s.Events, e)
	}
	answer(w, map[string]any{"Entries": results})
}

// getObject is https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html.
func (s *Server) getObject(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	version := r.URL.Query().Get("versionId")
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
	}
	action := "s3:GetObject"
	if version != "" {
		action = "s3:GetObjectVersion"
	}
	s.mu.Lock()
	o, found := s.objects[bucket+"/"+key]
	allowed := s.called(w, action, bucket+"/*")
	if allowed && !found { // S3 tells only who may list the bucket that a file is missing
		allowed = s.called(w, "s3:ListBucket", bucket)
	}
	s.Ranges = append(s.Ranges, r.Header.Get("Range"))
	s.mu.Unlock()
	switch {
	case !allowed:
	case !found:
		refuse(http.StatusNotFound, "NoSuchKey")
	case version != "" && version != o.Version:
		refuse(http.StatusNotFound, "NoSuchVersion")
	case r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != `"`+o.ETag+`"`:
		refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		w.Header().Set("ETag", `"`+o.ETag+`"`)
		if o.Mapping != "" {
			w.Header().Set("X-Amz-Meta-Mapping", o.Mapping)
		}
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(o.Content, 0, o.Size))
	}
}

// putObject is https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html.
func (s *Server) putObject(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	content, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	folder, _, _ := strings.Cut(key, "/")
	if err == nil && s.called(w, "s3:PutObject", bucket+"/"+folder+"/*") {
		s.Put(Object{Bucket: bucket, Key: key, Content: bytes.NewReader(content), Size: int64(len(content))})
	}
}

// Content returns the content of a file, or "".
func (s *Server) Content(bucket, key string) string {
	o := s.objects[bucket+"/"+key]
	content := make([]byte, o.Size)
	if o.Content != nil {
		o.Content.ReadAt(content, 0)
	}
	return string(content)
}

// Used returns the calls without duplicates.
func (s *Server) Used() (used []Call) {
	for _, call := range s.Calls {
		if !slices.Contains(used, call) {
			used = append(used, call)
		}
	}
	return used
}

// read decodes a request. It reports whether its size and syntax are valid.
func read(r *http.Request, into any) bool {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	return err == nil && len(text) <= maxRequest && json.Unmarshal(text, into) == nil
}

func answer(w http.ResponseWriter, with any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	json.NewEncoder(w).Encode(with)
}
