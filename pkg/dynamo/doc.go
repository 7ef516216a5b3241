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
//	acme/test/books       2026-03-01T09:3/0.1 a page of a book: counts, see below
//	acme/test/books       2026-03-01T09:3/x0  a page of what the book's leads lost later
//	acme/test/books       2026-03-01T09:3/r0  a page of what an audit put right
//	acme/test/books       ~balance            the total at the end of a period
//	acme/test/calendar    calendar            leads by the day of their creation, then
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
// # Books
//
// DynamoDB cannot count and cannot skip: it reads and charges for every row on
// the way. A single counter would be exact, but all writers would meet at it,
// and transactions that meet cancel each other. So leads are counted in books.
//
// A book is of ten minutes, its period, written 2026-03-01T09:3. It has a lane
// for each writer, so that writers do not meet, and a lane has pages, so that
// none outgrows 1 KB and with it the price of a write: /0.1 is lane 0, page 1.
// On a page stand marks, which count:
//
//	c 09:34:06         leads created in the cell that begins then; a cell is two
//	                   seconds long
//	x 09:34:06         leads of that cell that are gone since
//	d 2026-02-27T14:2  leads of that period that were deleted in this one
//	n                  how many leads were counted here, at most 9,999
//
// Seven cells share a number, four digits each, which n keeps apart: c 09:34:06
// is what the attribute cH has before its last 16 digits. So the books of a
// writer who never rests grow by 73 bytes a minute.
//
// Every mark changes in the transaction that makes or removes the lead, whose
// condition holds once, so no crash and no retry counts a lead twice or not at
// all. The marks of all pages together say everything:
//
//	total                c - d, over all books
//	leads of a cell      c - x
//	leads of a day       c of its books, less the d that name them anywhere
//
// Ten minutes after its end no c and no d of a period changes: it is settled.
// The balance and the calendar sum up settled books, so that a list need not
// read them all. They are caches of facts. Whoever reads past them brings them
// forward, two lists at the same time write the same, and if both were lost, the
// next list would cost more and say the same.
//
// # A create
//
// At 09:34:07 of 2026-03-01, a lead is created by one TransactWriteItems:
//
//	put     acme/test/lead_01j8…  if it does not exist  2 units, and 1 for the index
//	update  acme/test/books       2026-03-01T09:3/0.0   2 units    ADD c 09:34:06
//
// That is 5 units, or 7 for a lead of 1 to 2 KB. The idempotency record is put in
// the same transaction, for 2 more.
//
// # A delete
//
// At 11:02 the lead is deleted by another:
//
//	delete  acme/test/lead_01j8…  if it exists          2 units, and 1 for the index
//	update  acme/test/books       2026-03-01T11:0/0.0   2 units    ADD d 2026-03-01T09:3
//	update  acme/test/books       2026-03-01T09:3/x0    2 units    ADD x 09:34:06
//
// That is 7 units. Before 09:40 both marks would be on one page: 5 units.
//
// # A deep offset
//
// An account made 5,475 leads a day for five years, ten million by now, noon of
// 2026-03-01. GET ?offset=5000000&limit=20:
//
//  1. Query the balance and the books since it, from 11:20 on: 10,000,000 leads,
//     of which 152 since 11:20. The lead asked for is older.       1 unit
//  2. Get the calendar. 2,737 leads of today and 912 days of 5,475 are newer;
//     there are 4,063 to pass over in 2023-08-31.                  1.5 units
//  3. Query the 144 books of that day. Its cells after 06:11:06 hold 4,063
//     leads: there are none to pass over in that cell.             9 units
//  4. Query the index from the end of that cell on, towards the
//     older: 20 keys.                                              0.5 units
//  5. BatchGetItem the leads, strongly consistent.                 20 units
//
// That is 5 requests and 32 units, where reading up to that place in the index
// takes some 70,000. An offset among the newest leads needs steps 1, 4 and 5
// alone: 3 requests, 21.5 units.
//
// Some lists pay for what others left behind. A process knows how far the
// balance reached when it last read it, and reads on from there; its first list
// reads the newest forty books, and those before where there are more since the
// balance: one request more. A list moves the balance when there are more than
// twelve books since, or when they come near the 4 KB of a unit: one request more
// and one unit of writing. An offset that needs the calendar may read the books
// since the calendar, and moves it when they are more than 24: two requests, and
// a unit of writing for each 1 KB, nine for five years. No list moves both.
//
// What is not settled must be read in any case, the last ten to twenty minutes.
// That fits into a unit of 4 KB while two writers create in every cell all the
// time, or sixteen for two minutes. In an account that is busier, each list pays
// a unit more for each 4 KB.
//
// # The index lags
//
// The index follows the table after a moment. The books do not, so they tell
// when it lacks a lead or shows one that is gone: then List looks again, or
// looks up which leads there are (see list.go).
package dynamo
