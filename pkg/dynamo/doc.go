// Package dynamo stores leads, API keys and idempotency records in one DynamoDB
// table.
//
// # Items
//
//	pk                    sk                  content
//	acme/test/lead_01j8…  lead                a lead: one attribute for each field, with a name of
//	                                          two letters; default values are not stored
//	acme/test/once/3nq8…  once                an idempotency record: the id of the lead that was
//	                                          created, and a hash of its values
//	key/0ab1…             key                 an API key: the hash of its text
//	tenants               acme/test           a tenant that has a key
//	format                format              the version of all this, see [Format]
//	acme/test/counters    2026-03-01T09:3/0.1.0  counts of leads, see package counter
//	acme/test/snapshot    s<series>           sums of these counts, see package counter
//	acme/test/by/<series> createdAt           an index row of a filter: a lead with one value of
//	                                          status, lead_owner or email_id
//	acme/test/by/<series> ~                   the guard of an e-mail address, see upsert.go
//
// acme/test is the tenant: the account acme in test mode. The index created_at
// contains the leads of each tenant by the time of their creation, to the
// nanosecond. It contains only keys, so an update of a lead does not write to it.
// It also contains the API keys of each account, under acme/keys.
//
// # Retries
//
// A request whose response is lost is sent again, and must not take effect twice.
// Creates and deletes are transactions with a client request token, which
// DynamoDB executes once (see transact.go). An update leaves a nonce in the lead,
// and its condition is false if the nonce is there already (see update.go). A
// condition that fails returns the item, which shows whether an earlier attempt
// succeeded.
//
// Transient errors are retried with a random delay until the deadline of the
// context, or for ten seconds. Then the caller gets a [lead.UnavailableError].
//
// # Filters
//
// A lead has a row in the index of each filter, written in the transaction of the
// lead, so that the rows never lag. The leads with one status or owner are also
// counted as a series. Those with one e-mail address are few, and their number is
// that of their rows.
//
// The lead says in an attribute which indexes it is in. So processes with
// different settings can work at the same time, and [Table.Reindex] can add and
// remove indexes while they do. A lead without the attribute was created by an
// older version, which had other counters. Reindex counts it.
//
// # A create
//
// At 09:34:07 of 2026-03-01, a lead with an e-mail address is created by one
// TransactWriteItems:
//
//	put     acme/test/lead_01j8…    if it does not exist   2 units, and 1 for the index
//	put     acme/test/by/<series>   three rows             6 units
//	update  acme/test/counters      2026-03-01T09:3/0.1.0  2 units
//
// That is 11 units, or 5 without filters, and 2 more for a lead of 1 to 2 KB. The
// idempotency record is put in the same transaction, for 2 more.
//
// # A change of status
//
// An update of a field without a filter is one UpdateItem: 1 unit for each KB of the
// lead. Its nonce, of 8 bytes, stays in the lead for 15 to 30 seconds, so a lead
// that is updated 50 times a second has up to 12 KB more. For a change of
// status the lead is read first, for 1 unit. Then a transaction updates the lead
// if it still has the version that was read (2 units), moves a row (4), and counts
// the move in the counter item of now (2) and in that of the window in which the
// lead was created (2).
//
// # A delete
//
// At 11:02 the lead is read and deleted by another transaction:
//
//	delete  acme/test/lead_01j8…    if it is unchanged     2 units, and 1 for the index
//	delete  acme/test/by/<series>   three rows             6 units
//	update  acme/test/counters      2026-03-01T11:0/0.1.0  2 units
//	update  acme/test/counters      2026-03-01T09:3/x0.1.0 2 units
//
// That is 13 units. Without filters it is 7, and the lead is not read.
//
// # An upsert
//
// One query reads the index rows of the e-mail address, for 1 unit. If there is none,
// a lead is created as above, and the guard is written in the same transaction, for 2
// units more. If there is one, the lead is read, for 1 unit, and updated as above. If
// the lead was changed in the last hour, the guard is written too, in a transaction:
// that is 3 units more. Two cases cost more. After an ordinary update in the last
// seconds, the query is repeated. If the lead that an upsert wrote in the last hour
// has lost the address, a create checks its row, for 2 units.
//
// # A list
//
// Package counter explains how a list gets its total and finds an offset. The
// first page of all leads takes 3 requests in two round trips: the counters, and
// at the same time the index; then the leads. That is 21.5 read units for 20
// leads. An offset deep in ten million leads takes 5 requests and 33 units. The
// first page of a filter with more than fifty leads takes 4 requests; one with
// fewer is counted by its rows.
//
// Some lists cost more. A process remembers how far the total reached when it
// last read it, and reads on from there. Its first list reads the newest forty
// counter items, and all since the total if these are more: one request more. A
// list brings the total or a snapshot forward if there are more than twelve items
// since, or if they come near the 4 KB of a unit: one request more, and a write
// unit for each 1 KB.
//
// What is not sealed must be read in any case: the last 16 to 26 minutes. While two
// writers create all the time, that fits into a unit of 4 KB. In an account that is
// busier, each list pays a unit more for each 4 KB.
//
// # The index lags
//
// The index of all leads follows the table after a moment. The counter items do
// not lag, and they name the newest leads that were created or deleted. List
// adds these leads to what the index shows, or removes them. If there are more
// changes than the items name, it waits until the index shows the oldest change
// that is named. This assumes that the index follows the table in the order of
// the changes. After three seconds it returns what there is.
package dynamo
