// Package wal is the replication connection: it reads one logical slot of
// PostgreSQL (pgoutput, protocol 1, text) and hands out the committed
// transactions in commit order.
//
// One goroutine owns the connection. It decodes, batches the rows of one
// relation and operation, and puts them into a bounded queue, so that a
// transaction of any size streams through in bounded memory; while the consumer
// is slow it goes on answering the server. Positions travel through the same
// queue as the data:
//
//	server ─▶ reader goroutine ─▶ queue ─▶ Next, Tx.Next ─▶ Position
//	  ▲                                        caller: make durable
//	  └────────── status messages ◀── Ack ◀────────┘
//
// It guarantees that a change is handed out only when its transaction has
// committed; that [Reader.Position] never names a place before which something
// is unread; that the server is told of nothing as flushed that was not given
// to [Reader.Ack]; and that of updated and deleted rows only the key columns
// are ever copied out of the network buffer. Out of order or malformed input
// ends the stream with an error that names types, lengths and relations.
//
// It never reconnects, never acknowledges by itself, never creates or drops a
// slot unasked, and never puts a value into an error or a log line.
package wal
