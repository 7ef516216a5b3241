package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"overplane.dev/leads/pkg/api"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/leadfile"
	"overplane.dev/leads/pkg/queue"
)

// record is one lead to create or to upsert.
type record struct {
	upsert    bool
	key       lead.IdempotencyKey
	senderKey string // the idempotency key that the sender gave, or ""
	id        string // the same in all deliveries of this record, and in no other record
	origin    string // where the record comes from, for people
	body      []byte // the JSON of the lead, not parsed yet
	err       error  // why the record is rejected
}

// newRecord returns a record whose idempotency key is its id at the source.
func newRecord(source, id, origin string, body []byte) record {
	key := lead.IdempotencyKey{Source: source, Key: "id/" + id, TTL: keyTTL}
	return record{key: key, id: id, origin: origin, body: body}
}

// setKey replaces the idempotency key by that of the sender.
func (r *record) setKey(key string) {
	r.key.Key = "key/" + key
	if r.err = validateKey(key); r.err == nil {
		r.senderKey = key
	}
}

// setKeyFrom replaces the idempotency key by that in the message attributes of
// the sender. It reports whether there is one. It rejects the record if the name
// of the attribute is spelled in another way: without its key, a message that is
// sent twice would become two leads.
func (r *record) setKeyFrom(attributes map[string]string) bool {
	if key, ok := attributes[keyName]; ok {
		r.setKey(key)
		return true
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !strings.Contains(strings.ToLower(name), "idemp") {
			continue
		}
		r.setKey(attributes[name])
		r.err = lead.ValidationError{{
			Param: name, Code: lead.ParameterUnknown,
			Message: "No message attribute has this name. Rename it to " + keyName + ", or leave it out.",
		}}
		return true
	}
	return false
}

// typeName is the message attribute that says what to do with a lead: one of the
// detail-types of EventBridge. Without it the lead is created.
const (
	typeName   = queue.TypeAttribute
	createType = "lead.create"
	upsertType = "lead.upsert"
)

// setTypeFrom sets what to do with the lead from the message attributes of the
// sender. It rejects the record if it does not know the type.
func (r *record) setTypeFrom(attributes map[string]string) {
	name, ok := attributes[typeName]
	r.upsert = name == upsertType
	if ok && !r.upsert && name != createType {
		r.err = lead.ValidationError{{
			Param: typeName, Code: lead.ParameterInvalid,
			Message: fmt.Sprintf("Send %s or %s for the message attribute %s, or leave it out.", createType, upsertType, typeName),
		}}
	}
}

// keyName is the message attribute with the idempotency key of the sender, and
// the member of a call.
const keyName = queue.KeyAttribute

// validateKey applies the rules of the HTTP header Idempotency-Key.
func validateKey(key string) error {
	if lead.ValidIdempotencyKey(key) {
		return nil
	}
	return lead.ValidationError{{
		Param: keyName, Code: lead.ParameterInvalid,
		Message: fmt.Sprintf("Send an idempotency_key of 1 to %d printable ASCII characters, or none.", lead.MaxIdempotencyKey),
	}}
}

// unquote returns the text of a JSON string. Text with invalid Unicode is
// returned as it is, in quotes: it is no JSON object, so the record is rejected.
func unquote(quoted json.RawMessage) []byte {
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return quoted
	}
	return text
}

// createLeads creates or upserts the leads of the records and sends rejected records
// to the DLQ. It returns one result for each record. A result with a transient error
// ([isPermanent] is false) means that the record must be delivered again.
func (v *invocation) createLeads(ctx context.Context, records []record) []lead.CreateResult {
	results := make([]lead.CreateResult, len(records))
	var requests []lead.CreateRequest
	var indexes []int // of the record of each request
	upserts := map[int][]lead.Change{}
	for i, r := range records {
		changes, err := r.parse()
		switch {
		case err != nil:
			results[i].Err = err
		case r.upsert:
			upserts[i] = changes
		default:
			values := lead.Defaults()
			values.Apply(changes)
			requests = append(requests, lead.CreateRequest{Values: values, Key: r.key})
			indexes = append(indexes, i)
		}
	}
	createCtx, cancel := withMargin(ctx, dlqMargin)
	defer cancel()
	for j, result := range v.createMany(createCtx, requests) {
		results[indexes[j]] = result
	}
	updated := map[int]bool{}
	for _, i := range slices.Sorted(maps.Keys(upserts)) {
		created, err := v.upsertLead(createCtx, upserts[i])
		results[i].Err, updated[i] = err, !created
	}

	var rejected []record
	for i, result := range results {
		if isPermanent(result.Err) {
			records[i].err = result.Err
			rejected = append(rejected, records[i])
		}
	}
	dlqErr := v.sendToDLQ(ctx, rejected)
	for i := range results {
		result := &results[i]
		if dlqErr != nil && isPermanent(result.Err) {
			result.Err = dlqErr
		}
		switch {
		case result.Err == nil && result.Replayed:
			v.stats.replayed++
		case result.Err == nil && updated[i]:
			v.stats.updated++
		case result.Err == nil:
			v.stats.created++
		case isPermanent(result.Err):
			v.stats.rejected++
		default:
			v.logFailure(ctx, records[i].origin, result.Err)
		}
	}
	return results
}

// sendToDLQ sends rejected records to the dead-letter queue.
func (v *invocation) sendToDLQ(ctx context.Context, rejected []record) error {
	if len(rejected) == 0 {
		return nil
	}
	var messages []queue.Message
	for _, r := range rejected {
		code, reason := api.Describe(r.err)
		kind := ""
		if r.upsert {
			kind = upsertType
		}
		messages = append(messages, queue.Rejected{
			Body: r.body, ID: r.id, Source: r.key.Source, Origin: r.origin,
			Code: code, Reason: reason, Key: r.senderKey, Type: kind,
		}.Message())
		v.Log.LogAttrs(ctx, slog.LevelWarn, "record rejected", slog.String("origin", r.origin), slog.String("code", code))
	}
	return v.DeadLetters.Send(ctx, messages)
}

// parse returns the fields of the lead. A panic becomes an error of this record
// only.
func (r *record) parse() (changes []lead.Change, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	if r.err != nil {
		return nil, r.err
	}
	if len(r.body) > leadfile.MaxRow {
		return nil, &lead.SyntaxError{Message: fmt.Sprintf("The lead is larger than %d bytes. Send a smaller one.", leadfile.MaxRow)}
	}
	parse := lead.ParseChanges
	if r.upsert {
		parse = lead.ParseUpsert
	}
	changes, err = parse(r.body)
	if err != nil {
		if hint := wrapperHint(r.body); hint != "" {
			err = &lead.SyntaxError{Message: hint}
		}
	}
	return changes, err
}

// upsertLead upserts a lead. A panic becomes an error of this record only.
func (v *invocation) upsertLead(ctx context.Context, changes []lead.Change) (created bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	_, created, err = v.Leads.Upsert(ctx, v.Tenant, changes, lead.Precondition{})
	return created, err
}

// createMany creates leads, many in one transaction. After a panic it tries each
// lead alone, so that only the lead that causes the panic fails.
func (v *invocation) createMany(ctx context.Context, requests []lead.CreateRequest) (results []lead.CreateResult) {
	if len(requests) == 0 {
		return nil
	}
	defer func() {
		p := recover()
		switch {
		case p == nil:
		case len(requests) == 1:
			results = []lead.CreateResult{{Err: panicError(p)}}
		default:
			results = nil
			for i := range requests {
				results = append(results, v.createMany(ctx, requests[i:i+1])...)
			}
		}
	}()
	return v.Leads.CreateMany(ctx, v.Tenant, requests)
}

// isPermanent reports whether an error rejects its record: the same record can
// never become a lead.
func isPermanent(err error) bool {
	var invalid lead.ValidationError
	var syntax *lead.SyntaxError
	var ambiguous *lead.AmbiguousError
	return errors.As(err, &invalid) || errors.As(err, &syntax) || errors.As(err, &ambiguous) ||
		errors.Is(err, lead.ErrKeyReused) || errors.Is(err, lead.ErrFilterOff)
}

// checkRetry returns errRetry if a record must be delivered again.
func checkRetry(results []lead.CreateResult) error {
	for _, result := range results {
		if result.Err != nil && !isPermanent(result.Err) {
			return errRetry
		}
	}
	return nil
}
