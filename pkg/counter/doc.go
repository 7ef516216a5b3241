// Package counter counts things by the time of their creation, exactly, in
// DynamoDB: how many there are, how many of them have a status, and where in the
// list of them an offset lies.
//
// # The problem
//
// DynamoDB cannot count and cannot skip. A query reads, and charges for, every
// item that it skips. A single item that counts would be exact, but concurrent
// transactions on one item cancel each other.
//
// # The idea
//
// Each change is counted in the transaction that makes it, in a counter item. A
// counter item belongs to a window, which is ten minutes long, and to a shard,
// which is one concurrent writer. So two writers seldom write to the same item.
// A shard that has many counts in a window has several items, which are called
// its pages. A reader adds the counter items up.
//
// A window that can no longer change is sealed. Sums of sealed windows are kept in
// totals and snapshots, so that a reader need not read all counter items. These
// are caches. They can be deleted at any time; then the next reader computes them
// again.
//
// A series is a set of things that is counted: all things, or those with one
// value in a field. A change counts all its series in the same counter item,
// so more series cost no more write units.
//
// # The items
//
// Items have a partition key that begins with the prefix of the user, here
// acme/test:
//
//	pk                  sk                      attributes
//	acme/test/counters  2026-03-01T09:3/4.2.1   a counter item of the window 09:30 to
//	                                            09:40, of shard 4, the second of its 2 pages
//	    c40             3                       3 things were created in the bucket
//	                                            09:34:00 to 09:34:10, less those that
//	                                            were deleted in this window
//	    c<series>       2                       2 things of this window are in the series
//	                                            at the end of it
//	    d260227         1                       1 thing that was created on 2026-02-27
//	                                            was deleted in this window
//	    d<series>260227 1                       1 of that day left the series
//	    k               17 bytes each           up to 4 of the things that the shard created
//	                                            or removed last, for an index that lags
//	    z               60                      the size of the counts in bytes, or more
//	acme/test/counters  2026-03-01T09:3/x4.2.1  what left the window after its end,
//	                                            written by shard 4
//	    x40             1                       1 of the things created in 09:34:00 to
//	                                            09:34:10 is deleted
//	    x<series>       1                       1 of this window has left the series
//	acme/test/counters  ~                       the total of all things, through a
//	                                            sealed window
//	acme/test/snapshot  s<series>               the numbers of things by day of creation,
//	                                            through a sealed window
//
// All results are made of these three sums:
//
//	things in all                   c - d, over all counter items
//	things created on a day         c of that day, less the d that name it
//	things created in a bucket      c - x, of the counter items of its window
//	(or for a series, in a window)
//
// A thing that joins a series after its creation is counted as one that leaves,
// with the number -1. Each change of a thing changes a total in one item only. So
// a query that reads items one after another, while others write, sees each
// change whole or not at all.
//
// # Example: a create and a move
//
// At 09:34:07 a thing is created with the status Open and the owner ann. Its
// transaction does ADD c40 1, c<Open> 1, c<ann> 1 in one counter item: 2 write
// units. Four days later, at 14:02, its status becomes Lost. That transaction
// does ADD d<Open>260301 1, d<Lost>260301 -1 in the counter item of 14:00, and ADD
// x<Open> 1, x<Lost> -1 in 2026-03-01T09:3/x0.1.0: 4 write units.
//
// # Example: a total
//
// An account has ten million things. One query reads the total, which reaches to
// 11:20, and the counter items since, say 152 things in seven items: 1 read unit.
// For a series, the snapshot is read first, for half a unit.
//
// # Example: an offset
//
// The thing at offset 5,000,000 of these is wanted. The snapshot and the counter
// items since show that today has 2,737 things and each of the 912 days before has
// 5,475. So 4,063 things of 2023-08-31 must still be skipped: 2.5 units. The 144
// counter items of that day say that the buckets after 06:11:00 hold 4,060
// things: 9 units. So the thing is the fourth from the newest in the bucket
// 06:10:50 to 06:11:00, which an index of the things gives with one query.
//
// # When a window is sealed
//
// Local clocks may be wrong, and processes may be suspended for hours. So no local
// clock is trusted. A writer chooses the window and signs the request with one and
// the same time. DynamoDB refuses a signature that is more than 15 minutes old, so
// no c or d of a window changes later than 15 minutes after its end. A reader
// treats a window as sealed 16 minutes after its end, by the Date of an answer
// that it had received before it sent the query.
//
// # Limits
//
//   - Things of a series other than [All] are located to ten minutes, not to ten
//     seconds. Where thousands of them are created in ten minutes, an offset
//     between them costs up to half a read unit for each 40 of them.
//   - A series of many things that has no snapshot, such as the first list by a
//     field of an old account, makes a reader read all counter items: some 100 MB
//     for five years in which things are created all the time. It stores the
//     snapshot after each megabyte. Daily sums of all series would avoid most of
//     that, but not for a field with many values, and they are not worth their
//     code.
//   - Series are told apart by 66 bits of a hash. A user who reads things by an
//     index of a series must compare the value itself.
//   - A reader reads what is not sealed: the counter items of two or three
//     windows. In ten minutes in which ten writers create a hundred things a
//     second, these are 5 KB, with 20 values of a field 8 KB, with 200 values 133
//     KB. A thousand things a second, 24 in each write of two writers, are 1 KB,
//     with 200 values 6 KB, with 2,000 values 59 KB; then such a write takes 60
//     units more. A bulk change of 10,000 old things takes 2 KB (see
//     size_test.go).
//   - A shard can be written about a hundred times a second; there are 10,000
//     shards.
//   - The counts are those of the changes that are written through this package.
//     Other writes must be counted again, see [Audit].
package counter
