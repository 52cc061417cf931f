// Package sweeper wires the parts together: what the environment says, the
// checks before anything is touched, install, plan, sweep, and the stream from
// the write-ahead log into the purge log.
//
// # The journey of one row
//
// A row that is due goes through five hops, each one exported function:
//
//		policy file ─policy.Load→ Set ─plan.Build→ Step ─purge.Run→ COMMIT ═WAL═ wal.Reader.Next→ Tx ─purgelog.Append→ Entry
//
//	 1. policy.Load reads and checks the policy files, without a database.
//	 2. plan.Build turns them and the catalogue into steps with their SQL.
//	 3. purge.Run deletes, redacts or drops, batch by batch. Each batch is one
//	    transaction: the hold fence, the stamp in sweeper.batches, the work with
//	    its whole condition, the report in sweeper.batches.
//	 4. wal.Reader.Next hands out what PostgreSQL committed, stamp and rows.
//	 5. purgelog.Log.Append writes the entry: counts, commitments to the rows'
//	    keys, chain and tree, in one transaction with the progress in the WAL.
//
// The purging side and the log side never call each other: they meet in the
// WAL alone. What the log says is what PostgreSQL committed, not what the
// sweeper believes. This package hands the one to the other as functions.
//
// # Several processes
//
// Run is the daemon. Processes over one database share categories: each due
// slot is held by a session lock on a connection that shows a sign of life
// every few seconds. Who waits for a lock looks at that; after 12 s of silence
// it ends all sessions of the holder, which carry the holder's name, and only
// then takes its place. A run's row is its licence: who takes a slot over ends the
// row of the run before, and each batch reads its own row under a lock, so
// that a process that wakes up commits nothing more.
//
// # Checkpoints
//
// What is in the log is signed now and then and kept at anchors outside the
// database (package anchor). Before a process writes the log or signs anything
// it holds the log against the newest checkpoint of each anchor; a log that does
// not continue it was restored, rewritten or begun anew, and nothing is purged
// until Fork has said so in the log.
//
// It never purges while the log cannot witness it.
package sweeper
