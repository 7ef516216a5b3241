package api

import (
	"net/http"
	"strconv"
	"time"

	"overplane.dev/leads/pkg/lead"
)

// keepKeys is how long an Idempotency-Key is remembered.
const keepKeys = 24 * time.Hour

func (a *API) createLead(c *call) error {
	once, invalid := c.once()
	changes, err := c.changes(invalid, "application/json")
	if err != nil {
		return err
	}
	values := lead.Defaults()
	values.Apply(changes)
	made, replayed, err := a.leads.Create(c.r.Context(), c.tenant, values, once)
	if err != nil {
		return err
	}
	if replayed {
		c.Header().Set("Idempotent-Replayed", "true")
	}
	c.Header().Set("Location", collection+"/"+string(made.ID))
	return c.sendLead(http.StatusCreated, &made)
}

func (a *API) retrieveLead(c *call) error {
	id, err := c.leadID()
	if err != nil {
		return err
	}
	found, err := a.leads.Retrieve(c.r.Context(), c.tenant, id)
	if err != nil {
		return err
	}
	p := c.precondition()
	switch {
	case !lead.Precondition{Match: p.Match}.Holds(found.Version):
		return lead.ErrPreconditionFailed
	case !p.Holds(found.Version):
		c.Header().Set("ETag", etag(found.Version))
		c.status = http.StatusNotModified
		return nil
	}
	return c.sendLead(http.StatusOK, &found)
}

func (a *API) listLeads(c *call) error {
	limit, offset, err := c.window()
	if err != nil {
		return err
	}
	leads, total, err := a.leads.List(c.r.Context(), c.tenant, limit, offset)
	if err != nil {
		return err
	}
	body := make([]byte, 0, (len(leads)+1)<<10) // most leads are shorter
	body = append(body, `{"data":[`...)
	for i := range leads {
		if i > 0 {
			body = append(body, ',')
		}
		body = leads[i].AppendJSON(body)
	}
	body = append(body, `],"has_more":`...)
	// Not offset + length < total: that sum can overflow.
	body = strconv.AppendBool(body, total-offset > int64(len(leads)))
	body = append(body, `,"total":`...)
	body = strconv.AppendInt(body, total, 10)
	c.send(http.StatusOK, append(body, '}'))
	return nil
}

func (a *API) updateLead(c *call) error {
	changes, err := c.changes(nil, "application/json", "application/merge-patch+json")
	if err != nil {
		return err
	}
	id, err := c.leadID()
	if err != nil {
		return err
	}
	updated, err := a.leads.Update(c.r.Context(), c.tenant, id, changes, c.precondition())
	if err != nil {
		return err
	}
	return c.sendLead(http.StatusOK, &updated)
}

func (a *API) deleteLead(c *call) error {
	id, err := c.leadID()
	if err != nil {
		return err
	}
	if err := a.leads.Delete(c.r.Context(), c.tenant, id, c.precondition()); err != nil {
		return err
	}
	c.send(http.StatusOK, []byte(`{"id":"`+string(id)+`","deleted":true}`))
	return nil
}

func (c *call) sendLead(status int, l *lead.Lead) error {
	c.Header().Set("ETag", etag(l.Version))
	c.send(status, l.AppendJSON(nil))
	return nil
}
