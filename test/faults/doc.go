// Package faults tests that the product loses no lead, creates none twice and
// changes none unnoticed, whatever fails between it and its database. It holds
// only tests.
//
// Most tests run the API in the test's process, on a real local database. Each
// call of the database passes through an injector, which lets it through, fails
// it, or loses its response. Other tests run "leads serve" as a process of its
// own, with a faulty proxy between it and the database. The tests are:
//
//	single_fault  each fault at each database call of each operation
//	schedule      two concurrent requests, in every order of their database calls
//	history       concurrent clients under random faults, checked by Porcupine
//	process       the same with real processes behind the faulty proxy
//	conflict      many processes whose transactions cancel each other
//	upsert        upserts and other writes of one e-mail address, checked by Porcupine
//	batch         operations in one request; a process that is killed meanwhile
//	retry         an update that is retried late; 1,000 requests with one key
//	overload      more load than a process can take, slow clients, leaks
//	isolation     one function and two accounts, API keys, secrets in logs
//
// They share these parts:
//
//	fixture       an account with a few leads, a clock, and the API
//	events        the event functions with fake queues and a fake event bus
//	injector      the faults of a call, in the process
//	proxy         the faults of a TCP connection, between processes
//	mutants       deliberate mistakes of the product, which the tests must detect
//	model         what a lead and a total are, for Porcupine
//	items         what the tests know of the items in the table
//	results       the flags, and the table that is printed at the end
//
// # How to read a failure
//
// A failure begins with its kind: "lost" (something acknowledged is missing),
// "doubled" (something took effect twice) or "wrong" (anything else differs).
// Then it names the operation and the fault, such as
//
//	lost: update, call 2 (UpdateItem): 500, executed; seed 7
//
// which means that the second database call of an update was executed, and its
// response replaced by a 500. A history that is not linearizable is printed
// request by request, with the faults of each.
//
// The flag -seed repeats all random choices. Only the order of concurrent
// goroutines is left to chance. To run the example again:
//
//	go test ./test/faults -run TestEachFaultAtEachDatabaseCall -seed 7
//
// "make prove" runs all tests with more random cases than "go test ./..."; the
// flag -effort says how many more. See docs/reliability.md.
package faults
