package api

import (
	"errors"
	"net/http"
	"strconv"

	"overplane.dev/leads/pkg/lead"
)

func (a *API) createLead(w *response, r *request) error {
	key, invalid := r.idempotencyKey()
	changes, err := r.changes(invalid, "application/json")
	if err != nil {
		return err
	}
	values := lead.Defaults()
	values.Apply(changes)
	created, replayed, err := a.leads.Create(r.Context(), r.tenant, values, key)
	if err != nil {
		return err
	}
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.Header().Set("Location", collection+"/"+string(created.ID))
	w.setLead(http.StatusCreated, &created)
	return nil
}

func (a *API) retrieveLead(w *response, r *request) error {
	only, invalid := r.precondition()
	id, err := r.leadID(invalid)
	if err != nil {
		return err
	}
	found, err := a.leads.Retrieve(r.Context(), r.tenant, id)
	if err != nil {
		return err
	}
	match := lead.Precondition{Match: only.Match}
	switch {
	case !match.Holds(found.Version):
		return preconditionError(lead.ErrPreconditionFailed, match)
	case !only.Holds(found.Version):
		w.Header().Set("ETag", etag(found.Version))
		w.status = http.StatusNotModified
		return nil
	}
	w.setLead(http.StatusOK, &found)
	return nil
}

func (a *API) listLeads(w *response, r *request) error {
	q, err := r.listQuery()
	if err != nil {
		return err
	}
	page, err := a.leads.List(r.Context(), r.tenant, q)
	if errors.Is(err, lead.ErrFilterOff) {
		name := lead.Fields[q.Filter.Field].Name
		return lead.ValidationError{{Param: name, Code: lead.ParameterInvalid, Message: "Leave out " + name + ": filtering by it is switched off in this deployment."}}
	}
	if err != nil {
		return err
	}
	body := make([]byte, 0, (len(page.Leads)+1)<<10) // most leads are shorter
	body = append(body, `{"data":[`...)
	for i := range page.Leads {
		if i > 0 {
			body = append(body, ',')
		}
		body = page.Leads[i].AppendJSON(body)
	}
	body = append(body, `],"has_more":`...)
	body = strconv.AppendBool(body, page.HasMore)
	body = append(body, `,"total":`...)
	body = strconv.AppendInt(body, page.Total, 10)
	w.setJSON(http.StatusOK, append(body, '}'))
	w.compress(r.Request)
	return nil
}

func (a *API) updateLead(w *response, r *request) error {
	only, invalid := r.precondition()
	changes, err := r.changes(invalid, "application/json", "application/merge-patch+json")
	if err != nil {
		return err
	}
	id, err := r.leadID(nil)
	if err != nil {
		return err
	}
	updated, err := a.leads.Update(r.Context(), r.tenant, id, changes, only)
	if err != nil {
		return preconditionError(err, only)
	}
	w.setLead(http.StatusOK, &updated)
	return nil
}

func (a *API) upsertLead(w *response, r *request) error {
	only, invalid := r.precondition()
	changes, err := r.parseBody(lead.ParseUpsert, append(r.checkMatch(), invalid...), "application/json")
	if err != nil {
		return err
	}
	l, created, err := a.leads.Upsert(r.Context(), r.tenant, changes, only)
	if err != nil {
		return preconditionError(upsertError(err), only)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", collection+"/"+string(l.ID))
	}
	w.setLead(status, &l)
	return nil
}

// upsertError returns the error of an upsert, or a more precise one.
func upsertError(err error) error {
	if errors.Is(err, lead.ErrNotFound) {
		return errNoMatch
	}
	return err
}

func (a *API) deleteLead(w *response, r *request) error {
	only, invalid := r.precondition()
	id, err := r.leadID(invalid)
	if err != nil {
		return err
	}
	if err := a.leads.Delete(r.Context(), r.tenant, id, only); err != nil {
		return preconditionError(err, only)
	}
	w.setJSON(http.StatusOK, []byte(`{"id":"`+string(id)+`","deleted":true}`))
	return nil
}

// setLead makes a lead the answer.
func (w *response) setLead(status int, l *lead.Lead) {
	w.Header().Set("ETag", etag(l.Version))
	w.setJSON(status, l.AppendJSON(nil))
}
