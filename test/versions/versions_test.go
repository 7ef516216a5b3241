// Package versions has only tests. They run the release before and this version
// side by side on one table, as a deployment with a canary does.
//
// The release before is the commit that last changed release.txt. A change of what
// is stored that both versions cannot share needs a new number there and in
// dynamo.Format, and a note in docs/operations.md on how to deploy it.
package versions

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/test/dynamotest"
	"overplane.dev/leads/test/lambdaruntime"
)

var tenant = lead.Tenant{Account: "acme", Mode: lead.Test}

// version is a version of the product that uses the table.
type version struct {
	name    string
	dir     string // with the programs
	env     []string
	url     string // of leads serve
	key     string
	ingest  *lambdaruntime.Function
	faults  *lostAnswer
	workDir string
}

// lostAnswer is a proxy of the database that can lose the answer of an update.
type lostAnswer struct {
	next http.RoundTripper
	// Between is called once after an update, whose answer is lost. It may be nil.
	between atomic.Pointer[func()]
}

func (l *lostAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateItem") {
		if between := l.between.Swap(nil); between != nil {
			resp.Body.Close()
			(*between)()
			return nil, io.ErrUnexpectedEOF
		}
	}
	return resp, err
}

func TestTwoVersions(t *testing.T) {
	// "go test" repeats a result until a file changes that the test has read. It
	// does not see what "go build" reads, but it sees this.
	for _, folder := range []string{"../../cmd", "../../functions", "../../pkg", "."} {
		if err := filepath.WalkDir(folder, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat("../../.git"); err != nil {
		t.Skip("the source has no history to build the release before from")
	}
	client, _ := dynamotest.Start(t)
	key, record := apikey.NewKey(tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := dynamo.New(client, dynamotest.TableName).CreateKey(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	this := start(t, "this version", client, key, func(*testing.T) string { return "../.." })
	before := start(t, "the release before", client, key, checkOutBefore)
	for _, pair := range [][2]*version{{before, this}, {this, before}} {
		first, second := pair[0], pair[1]
		t.Run(first.name+", then "+second.name, func(t *testing.T) { share(t, first, second) })
	}
}

// share uses the table with both versions.
func share(t *testing.T, first, second *version) {
	total := first.total(t)
	wantTotal := func(more int) {
		t.Helper()
		total += more
		if a, b := first.total(t), second.total(t); a != total || b != total {
			t.Errorf("the totals are %d and %d, want %d", a, b, total)
		}
	}
	body := `{"lead_name":"Ada","status":"Open","annual_revenue":1.50,"disabled":true}`
	var created answer
	t.Run("a create is replayed", func(t *testing.T) {
		created = first.send(t, "POST", "", body, "Idempotency-Key", t.Name())
		replayed := second.send(t, "POST", "", body, "Idempotency-Key", t.Name())
		if created.status != 201 || replayed.status != 201 || replayed.header.Get("Idempotent-Replayed") != "true" || replayed.body != created.body {
			t.Errorf("the create got %v, the replay %v", created, replayed)
		}
		wantTotal(1)
	})
	path := "/" + created.id(t)
	t.Run("tags are the same", func(t *testing.T) {
		tag := first.send(t, "GET", path, "").header.Get("ETag")
		if other := second.send(t, "GET", path, "").header.Get("ETag"); tag != other {
			t.Errorf("the tags are %s and %s", tag, other)
		}
		if got := second.send(t, "PATCH", path, `{"city":"Bern"}`, "If-Match", tag); got.status != 200 {
			t.Errorf("an update with the tag got %v", got)
		}
		if got := first.send(t, "PATCH", path, `{"city":"Rome"}`, "If-Match", tag); got.status != 412 {
			t.Errorf("an update with the tag before got %v, want 412", got)
		}
	})
	t.Run("a repeated update does not undo one of the other version", func(t *testing.T) {
		between := func() {
			if got := second.send(t, "PATCH", path, `{"city":"second"}`); got.status != 200 {
				t.Errorf("the update in between got %v", got)
			}
		}
		first.faults.between.Store(&between)
		if got := first.send(t, "PATCH", path, `{"city":"first"}`); got.status != 200 || first.faults.between.Load() != nil {
			t.Errorf("the update whose answer was lost got %v", got)
		}
		if got := second.send(t, "GET", path, ""); !strings.Contains(got.body, `"city":"second"`) {
			t.Errorf("the lead is %v, want the second city", got)
		}
	})
	t.Run("counters are exact when both write", func(t *testing.T) {
		var writing sync.WaitGroup
		for i := range 20 {
			writing.Go(func() {
				maker, user := first, second
				if i%2 == 0 {
					maker, user = second, first
				}
				made := maker.send(t, "POST", "", `{"status":"New"}`)
				if made.status != 201 {
					t.Errorf("a create got %v", made)
					return
				}
				if got := user.send(t, "PATCH", "/"+made.id(t), `{"status":"Old"}`); got.status != 200 {
					t.Errorf("an update got %v", got)
				}
				if got := user.send(t, "DELETE", "/"+made.id(t), ""); i%4 == 0 && got.status != 200 {
					t.Errorf("a delete got %v", got)
				} else if i%4 != 0 {
					maker.send(t, "POST", "", `{}`)
				}
			})
		}
		writing.Wait()
		wantTotal(15)
	})
	t.Run("a message is delivered again", func(t *testing.T) {
		event := fmt.Appendf(nil, `{"Records":[{"messageId":%q,"body":%q,"eventSource":"aws:sqs","eventSourceARN":"q","attributes":{},"messageAttributes":{}}]}`, t.Name(), body)
		for _, v := range []*version{first, second} {
			if out, err := v.ingest.Invoke(t.Context(), "request", event); err != nil || string(out) != `{"batchItemFailures":[]}` {
				t.Errorf("%s: %s, %v", v.name, out, err)
			}
		}
		wantTotal(1)
	})
	t.Run("an import goes on", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), strings.ReplaceAll(first.name, " ", "-")+".csv")
		text := "lead_name,status\n"
		for i, v := range []*version{first, second} {
			for n := range 30 {
				text += fmt.Sprintf("%s row %d.%d,Open\n", first.name, i, n)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			v.run(t, "import", "-account", tenant.Account, "-mode", string(tenant.Mode), file)
			wantTotal(30)
		}
	})
	t.Run("an audit finds nothing", func(t *testing.T) {
		for _, v := range []*version{first, second} {
			v.run(t, "audit", "-account", tenant.Account, "-mode", string(tenant.Mode))
		}
	})
}

// checkOutBefore returns a folder with the source of the release before.
func checkOutBefore(t *testing.T) string {
	commit, err := exec.Command("git", "log", "-1", "--format=%H", "--", "release.txt").Output()
	if err != nil || len(commit) == 0 {
		t.Fatalf("git does not know the commit that changed release.txt, fetch the whole history: %v", err)
	}
	dir := t.TempDir()
	archive := exec.Command("git", "archive", "--format=tar", strings.TrimSpace(string(commit)))
	archive.Dir = "../.."
	tar := exec.Command("tar", "-x", "-C", dir)
	if tar.Stdin, err = archive.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := tar.Start(); err != nil {
		t.Fatal(err)
	}
	if err := archive.Run(); err != nil {
		t.Fatal(err)
	}
	if err := tar.Wait(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start builds and starts a version.
func start(t *testing.T, name string, client *dynamodb.Client, key string, source func(*testing.T) string) *version {
	t.Helper()
	v := &version{name: name, dir: t.TempDir(), key: key, workDir: t.TempDir()}
	build := exec.Command("go", "build", "-o", v.dir+"/", "./cmd/leads", "./functions/ingest-leads")
	build.Dir = source(t)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, output)
	}
	engine, err := url.Parse(*client.Options().BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	v.faults = &lostAnswer{next: http.DefaultTransport}
	proxy := httputil.NewSingleHostReverseProxy(engine)
	proxy.Transport = v.faults
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	database := httptest.NewServer(proxy)
	t.Cleanup(database.Close)
	v.env = append(os.Environ(), "DYNAMODB_ENDPOINT="+database.URL, "LEADS_TABLE="+dynamotest.TableName, "AWS_REGION="+client.Options().Region)

	serve := v.command("serve", "-addr", "127.0.0.1:0", "-data", ":memory:")
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Kill()
		serve.Wait()
	})
	output := bufio.NewReader(stdout)
	for v.url == "" {
		line, err := output.ReadString('\n')
		if err != nil {
			t.Fatalf("%s does not start: %v", name, err)
		}
		v.url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	}
	go io.Copy(io.Discard, output)

	v.ingest, err = lambdaruntime.Start(lambdaruntime.Options{
		Command: []string{v.dir + "/ingest-leads"},
		Log:     t.Output(),
		Timeout: 30 * time.Second,
		Env: []string{
			"LEADS_TABLE=" + dynamotest.TableName, "AWS_ENDPOINT_URL_DYNAMODB=" + database.URL,
			"AWS_REGION=" + client.Options().Region, "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
			"LEADS_ACCOUNT=" + tenant.Account, "LEADS_MODE=" + string(tenant.Mode),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.ingest.Stop() })
	return v
}

func (v *version) command(args ...string) *exec.Cmd {
	cmd := exec.Command(v.dir+"/leads", args...)
	cmd.Dir, cmd.Env = v.workDir, v.env
	return cmd
}

// run runs the command leads.
func (v *version) run(t *testing.T, args ...string) {
	t.Helper()
	if output, err := v.command(args...).CombinedOutput(); err != nil {
		t.Errorf("%s: leads %s: %v\n%s", v.name, args[0], err, output)
	}
}

// answer is an answer of the API, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) id(t *testing.T) string {
	t.Helper()
	var l struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &l); err != nil || l.ID == "" {
		t.Errorf("%v has no id: %v", a, err)
	}
	return l.ID
}

// send sends a request to the API. Headers come as name and value in turns.
func (v *version) send(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, v.url+"/api/crm/lead"+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+v.key)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// total returns the total of the list.
func (v *version) total(t *testing.T) int {
	t.Helper()
	got := v.send(t, "GET", "?limit=1", "")
	var page struct{ Total *int }
	if err := json.Unmarshal([]byte(got.body), &page); err != nil || page.Total == nil {
		t.Fatalf("%s: the list got %v", v.name, got)
	}
	return *page.Total
}
