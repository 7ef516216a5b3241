// Package client is a client of the lead API.
//
//	c := &client.Client{URL: "https://leads.example.com", Key: os.Getenv("LEADS_KEY")}
//	lead, err := c.Create(ctx, &client.Lead{LeadName: new("Ada Lovelace")})
//
// All methods send a request again after a network error or an answer with the
// status 429 or 5xx, and wait before it at least as long as Retry-After says. This
// is safe: Create sends an Idempotency-Key, Update sends If-Match, and an upsert can be
// repeated. A method
// gives up after six attempts, when the deadline of its context is too near for the
// next one, or when nothing listens at the address.
//
// The error of a request that the API refused is an [*Error].
//
// The package uses only the standard library.
package client

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// maxUpdates is how often Update starts again because another client changed the
// lead.
const maxUpdates = 20

// updateDelay times the number of updates is the longest wait between them.
const updateDelay = 10 * time.Millisecond

// A Client sends requests to the lead API. It is safe for concurrent use; its
// fields must not be changed after the first request.
type Client struct {
	// URL is the address of the API, such as https://leads.example.com, with the
	// stage if the address has one.
	URL string

	// Key is the API key, sk_test_... or sk_live_....
	Key string

	// HTTPClient sends the requests. If nil, a client is used that waits at most
	// 35 seconds for each answer. Redirects are never followed.
	HTTPClient *http.Client
}

// Create creates a lead and returns it as it is stored. Each call creates one
// lead, also when its request has to be repeated.
func (c *Client) Create(ctx context.Context, lead *Lead) (*Lead, error) {
	return c.CreateWithKey(ctx, rand.Text(), lead)
}

// CreateWithKey is like [Client.Create] with a given Idempotency-Key of 1 to 255
// printable ASCII characters. Calls with the same key within 24 hours create one
// lead; use it when a program can be started again with the same input. It returns
// an [*Error] with the code idempotency_key_reused if the key was used with
// another lead.
func (c *Client) CreateWithKey(ctx context.Context, key string, lead *Lead) (*Lead, error) {
	var created Lead
	_, err := c.send(ctx, request{method: http.MethodPost, idempotencyKey: key, body: lead}, &created)
	if err != nil {
		return nil, err
	}
	return &created, nil
}

// Upsert updates the lead with the e-mail address EmailID, or creates one, and
// returns it as it is stored. Fields that are nil stay as they are. It returns an
// [*Error] with the code match_ambiguous if several leads have the address.
func (c *Client) Upsert(ctx context.Context, lead *Lead) (*Lead, error) {
	var stored Lead
	_, err := c.send(ctx, request{method: http.MethodPut, path: "?match=email_id", body: lead}, &stored)
	if err != nil {
		return nil, err
	}
	return &stored, nil
}

// Get returns a lead. It returns an [*Error] with the status 404 if there is no
// such lead.
func (c *Client) Get(ctx context.Context, id string) (*Lead, error) {
	lead, _, err := c.get(ctx, id)
	return lead, err
}

// get also returns the entity tag of the lead.
func (c *Client) get(ctx context.Context, id string) (*Lead, string, error) {
	var lead Lead
	response, err := c.send(ctx, request{method: http.MethodGet, path: "/" + url.PathEscape(id)}, &lead)
	if err != nil {
		return nil, "", err
	}
	return &lead, response.etag, nil
}

// Update changes a lead and returns it as it is stored. It reads the lead, calls
// change, and sends the fields that change has set to other values. A field that
// change has set to nil gets its default.
//
// If another client changes the lead meanwhile, Update starts again with the new
// state, up to 20 times; change must therefore depend on nothing but the lead. If
// an answer is lost and another client changes the lead before the next attempt,
// change may be called with a lead that already contains its effect.
//
// It returns an [*Error] with the status 404 if there is no such lead.
func (c *Client) Update(ctx context.Context, id string, change func(*Lead)) (*Lead, error) {
	var sent *Lead // by a request that may have taken effect
	for update := 1; ; update++ {
		current, etag, err := c.get(ctx, id)
		if err != nil {
			return nil, err
		}
		if sent != nil {
			if patch, err := diffLeads(current, sent); err == nil && len(patch) == 0 {
				return current, nil
			}
		}
		wanted := current.clone()
		change(wanted)
		patch, err := diffLeads(current, wanted)
		if err != nil || len(patch) == 0 {
			return current, err
		}
		var updated Lead
		response, err := c.send(ctx, request{method: http.MethodPatch, path: "/" + url.PathEscape(id), ifMatch: etag, body: patch}, &updated)
		if err == nil {
			return &updated, nil
		}
		if !hasStatus(err, http.StatusPreconditionFailed) || update == maxUpdates {
			return nil, err
		}
		sent = nil
		if response.uncertain {
			sent = wanted
		}
		// A random wait lets other clients finish that update the same lead.
		if waitErr := wait(ctx, mathrand.N(time.Duration(update)*updateDelay)); waitErr != nil {
			return nil, errors.Join(waitErr, err)
		}
	}
}

// Delete deletes a lead for good. It returns an [*Error] with the status 404 if
// there is no such lead.
func (c *Client) Delete(ctx context.Context, id string) error {
	response, err := c.send(ctx, request{method: http.MethodDelete, path: "/" + url.PathEscape(id)}, nil)
	if response.uncertain && hasStatus(err, http.StatusNotFound) {
		return nil // an earlier attempt deleted it
	}
	return err
}

// hasStatus reports whether err is an Error with this status.
func hasStatus(err error, status int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == status
}

// A Page is a part of a list of leads, newest first.
type Page struct {
	Data []*Lead `json:"data"`

	// HasMore reports whether older leads follow.
	HasMore bool `json:"has_more"`

	// Total is the exact number of leads in the whole list.
	Total int64 `json:"total"`
}

// List returns a page of leads. The query holds query parameters of the API, such
// as limit, offset and status; nil is the first page of all leads.
func (c *Client) List(ctx context.Context, query url.Values) (*Page, error) {
	var page Page
	_, err := c.send(ctx, request{method: http.MethodGet, path: "?" + query.Encode()}, &page)
	if err != nil {
		return nil, err
	}
	return &page, nil
}

// All returns an iterator over all leads, newest first, or over those that the
// query selects, such as url.Values{"status": {"Open"}}. It reads 100 leads at a
// time with the parameter starting_after, and therefore visits every lead that
// exists the whole time exactly once, whatever is created or deleted meanwhile. It
// ends after the first error.
func (c *Client) All(ctx context.Context, query url.Values) iter.Seq2[*Lead, error] {
	return func(yield func(*Lead, error) bool) {
		query := maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		query.Set("limit", "100")
		for {
			page, err := c.List(ctx, query)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, lead := range page.Data {
				if !yield(lead, nil) {
					return
				}
			}
			if !page.HasMore || len(page.Data) == 0 {
				return
			}
			query.Set("starting_after", page.Data[len(page.Data)-1].ID)
		}
	}
}
