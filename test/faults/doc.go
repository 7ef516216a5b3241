// Package faults shows that no lead is lost, doubled or changed in silence,
// whatever goes wrong between the API and its database. It holds no product
// code: its tests run the whole API over a real engine, with a wire between
// the two on which requests fail, answers get lost, and calls meet each other.
//
//	wire     what can go wrong with one request, and how often
//	break    builds that are wrong on purpose, which the proofs must notice
//	world    an account of its own with a few leads, for each case
//	crash    every fault at every request of every operation
//	deliver  the operations of the event functions, and what is around them
//	resend   an update that is sent again late, and one key a thousand times
//	weave    every interleaving of two operations on one lead
//	history  many clients at once under faults, judged as linearizable or not
//	model    what a lead and a list are, to that judge
//	conflict transactions that meet, which the engine itself lets pass
//	proxy    sockets that tear, between real processes and the engine
//	process  leads serve as it is built, behind that proxy
//	load     more than a process can take, a database that hangs, what is left over
//	warm     one function after another's request; keys; what is logged
//	report   the table that is printed
//
// "make prove" runs it and prints a table, see docs/reliability.md. A run is
// as long as the flag -effort says; a seed that failed is run again with -seed.
package faults
