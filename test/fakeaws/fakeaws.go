// Package fakeaws answers as SQS, S3 and EventBridge do to those who send
// messages and events and fetch files, for tests of the code that talks to the
// services themselves, and to try functions where there is no AWS.
package fakeaws

import (
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

// A Cloud is the three services. What is not said of a field may be read and
// set while no request is under way.
type Cloud struct {
	URL string // its address, where Start was called

	// Fault is asked before each request, where it is set; those that it
	// reports are answered with AccessDenied, which nobody tries again.
	Fault func(Call) bool
	// Refuse makes SQS and EventBridge take no entry of what they are sent.
	Refuse bool
	// Deliver gets the messages for standard queues, where it is set, in the
	// place of Messages.
	Deliver func(Message)

	Calls    []Call
	Messages []Message // in the order of their sending; in a FIFO queue each once
	Events   []json.RawMessage
	Ranges   []string // headers of requests for files

	mu      sync.Mutex
	known   map[string]bool // deduplication ids of FIFO queues
	objects map[string]Object
}

// A Call is what IAM asks before a request: an action, and the resource that it
// is on. The resource is a queue's or a bus's name, a bucket's, or a bucket's
// name and /*.
type Call struct{ Action, Resource string }

// A Message is one that was sent to a queue.
type Message struct {
	Queue               string
	Body                string
	Group, Deduplicated string // of a FIFO queue: the group, and the deduplication id
	Attributes          map[string]string
}

// An Object is a file in S3, of which there is one version.
type Object struct {
	Bucket, Key, Version, ETag string
	Content                    io.ReaderAt
	Size                       int64
}

// Bundle returns a file of the certificate of a server behind TLS, for
// AWS_CA_BUNDLE.
func Bundle(t testing.TB, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// New returns the services, for a server of the caller's.
func New() *Cloud { return &Cloud{known: map[string]bool{}, objects: map[string]Object{}} }

// Start starts the services, which end with the test, and sets the environment
// so that awsenv finds them.
func Start(t testing.TB) *Cloud {
	t.Helper()
	c := New()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": c.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	} {
		t.Setenv(name, value)
	}
	return c
}

// Put puts a file in the place of the one of its name.
func (c *Cloud) Put(o Object) { c.objects[o.Bucket+"/"+o.Key] = o }

// ServeHTTP implements [http.Handler].
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get("X-Amz-Target") {
	case "AmazonSQS.SendMessageBatch":
		c.sendMessages(w, r)
	case "AWSEvents.PutEvents":
		c.putEvents(w, r)
	case "":
		c.getObject(w, r)
	default:
		http.Error(w, `{"__type":"UnknownOperationException"}`, http.StatusBadRequest)
	}
}

// called counts a call and reports whether it is to go on.
func (c *Cloud) called(w http.ResponseWriter, action, resource string) bool {
	call := Call{action, resource}
	c.Calls = append(c.Calls, call)
	if c.Fault == nil || !c.Fault(call) {
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
func (c *Cloud) sendMessages(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
	if !read(r, &in) || len(in.Entries) > maxEntries {
		http.Error(w, `{"__type":"com.amazonaws.sqs#BatchRequestTooLong"}`, http.StatusBadRequest)
		return
	}
	queue := path.Base(in.QueueURL)
	isFIFO := strings.HasSuffix(queue, ".fifo")
	if !c.called(w, "sqs:SendMessage", queue) {
		return
	}
	type result struct {
		ID   string `json:"Id"`
		MD5  string `json:"MD5OfMessageBody,omitempty"`
		Code string `json:",omitempty"`
	}
	var out struct{ Successful, Failed []result }
	for _, e := range in.Entries {
		if c.Refuse || isFIFO != (e.Group != "" && e.Deduplication != "") {
			out.Failed = append(out.Failed, result{ID: e.ID, Code: "InternalError"})
			continue
		}
		out.Successful = append(out.Successful, result{ID: e.ID, MD5: fmt.Sprintf("%x", md5.Sum([]byte(e.Body)))})
		m := Message{queue, e.Body, e.Group, e.Deduplication, map[string]string{}}
		for name, a := range e.Attributes {
			m.Attributes[name] = a.Value
		}
		if id := queue + " " + e.Deduplication; isFIFO && c.known[id] {
			continue
		} else if isFIFO {
			c.known[id] = true
		} else if c.Deliver != nil {
			c.Deliver(m)
			continue
		}
		c.Messages = append(c.Messages, m)
	}
	answer(w, out)
}

// putEvents is https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html.
func (c *Cloud) putEvents(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
		json.Unmarshal(e, &entry) // it was read once
		if !c.called(w, "events:PutEvents", entry.Bus) {
			return
		}
		if c.Refuse {
			results = append(results, result{Code: "ThrottlingException"})
			continue
		}
		results = append(results, result{ID: fmt.Sprintf("event-%d", i)})
		c.Events = append(c.Events, e)
	}
	answer(w, map[string]any{"Entries": results})
}

// getObject is https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html.
func (c *Cloud) getObject(w http.ResponseWriter, r *http.Request) {
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
	c.mu.Lock()
	o, found := c.objects[bucket+"/"+key]
	goesOn := c.called(w, action, bucket+"/*")
	if goesOn && !found { // who may not list a bucket is not told what it lacks
		goesOn = c.called(w, "s3:ListBucket", bucket)
	}
	c.Ranges = append(c.Ranges, r.Header.Get("Range"))
	c.mu.Unlock()
	switch {
	case !goesOn:
	case !found:
		refuse(http.StatusNotFound, "NoSuchKey")
	case version != o.Version:
		refuse(http.StatusNotFound, "NoSuchVersion")
	case r.Header.Get("If-Match") != `"`+o.ETag+`"`:
		refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		w.Header().Set("ETag", `"`+o.ETag+`"`)
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(o.Content, 0, o.Size))
	}
}

// Used returns the calls, each once.
func (c *Cloud) Used() (used []Call) {
	for _, call := range c.Calls {
		if !slices.Contains(used, call) {
			used = append(used, call)
		}
	}
	return used
}

// read reports whether a request is one that a service takes.
func read(r *http.Request, into any) bool {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	return err == nil && len(text) <= maxRequest && json.Unmarshal(text, into) == nil
}

func answer(w http.ResponseWriter, with any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	json.NewEncoder(w).Encode(with)
}
