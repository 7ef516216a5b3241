package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"overplane.dev/leads/pkg/client"
)

// This program creates a lead, changes it, lists all leads and deletes it.
func Example() {
	ctx := context.Background()
	c := &client.Client{URL: os.Getenv("LEADS_URL"), Key: os.Getenv("LEADS_KEY")}

	lead, err := c.Create(ctx, &client.Lead{
		LeadName:      new("Ada Lovelace"),
		AnnualRevenue: new(json.Number("1250000.50")),
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Update(ctx, lead.ID, func(l *client.Lead) { l.Status = new("Interested") })
	if err != nil {
		log.Fatal(err)
	}
	for l, err := range c.All(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(client.Value(l.LeadName), client.Value(l.Status), client.Value(l.AnnualRevenue))
	}
	if err := c.Delete(ctx, lead.ID); err != nil {
		log.Fatal(err)
	}
	// Output: Ada Lovelace Interested 1250000.5
}

// An answer that refuses a request says which field is wrong, and why.
func ExampleError() {
	c := &client.Client{URL: os.Getenv("LEADS_URL"), Key: os.Getenv("LEADS_KEY")}

	_, err := c.Create(context.Background(), &client.Lead{EmailID: new("ada")})
	if e, ok := errors.AsType[*client.Error](err); ok {
		fmt.Println(e.Status, e.Code, e.Param)
	}
	// Output: 400 parameter_invalid email_id
}
