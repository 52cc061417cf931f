package wal_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// BenchmarkStream reads 1 M deletes in 100 transactions, from START_REPLICATION
// to the last commit, over each kind of socket. One iteration is one reading of
// all of them.
func BenchmarkStream(b *testing.B) {
	const txs, rows = 100, 10_000
	s := pgtest.Server(b, pgserver.Options{Settings: map[string]string{"max_wal_size": "8GB", "shared_buffers": "512MB"}})
	conn, err := pgx.Connect(b.Context(), s.URL("postgres", pgserver.Superuser))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(b.Context()) })
	exec := func(sql string) {
		b.Helper()
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	exec(fmt.Sprintf(`create table t (id bigint primary key, v text); create publication sweeper for table t with (publish = 'delete');
		insert into t select g, repeat('x', 200) from generate_series(1, %d) g`, txs*rows))
	if err := wal.CreateSlot(b.Context(), conn, "bench"); err != nil {
		b.Fatal(err)
	}
	for i := range txs {
		exec(fmt.Sprintf(`delete from t where id > %d and id <= %d`, i*rows, (i+1)*rows))
	}
	for name, url := range map[string]string{"unix": s.SocketURL("postgres", pgserver.Superuser), "tcp": s.URL("postgres", pgserver.Superuser)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o := wal.Options{URL: url, Slot: "bench", Publications: []string{"sweeper"}}
				r, err := reopen(b.Context(), o)
				if err != nil {
					b.Fatal(err)
				}
				if got := count(b, r, txs); got != txs*rows {
					b.Fatalf("read %d rows", got)
				}
				closeReader(b, r)
			}
			b.ReportMetric(float64(txs*rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// count reads n transactions and counts their rows.
func count(b *testing.B, r *wal.Reader, n int) (rows int) {
	b.Helper()
	for range n {
		tx, err := r.Next(b.Context())
		for err == nil {
			var c *wal.Change
			if c, err = tx.Next(b.Context()); err == nil {
				rows += c.Len()
			}
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	return rows
}
