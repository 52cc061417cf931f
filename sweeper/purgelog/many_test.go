package purgelog_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// TestLookAtManyPartitions has a table of many partitions: neither a look nor what
// notes others' statements may take longer with each than by a little.
func TestLookAtManyPartitions(t *testing.T) {
	t.Parallel()
	const n = 1000
	b := setup(t)
	b.db.Exec(t, `create table app.p (id bigint, at int, primary key (id, at)) partition by range (at)`)
	for from := 0; from < n; from += 500 { // each holds a lock until the transaction ends
		b.db.Exec(t, fmt.Sprintf(`do $$ begin for i in %d..%d loop execute format('create table app.p_%%s partition of app.p for values from (%%s) to (%%s)', i, i, i+1); end loop; end $$`, from, from+499))
	}
	b.db.Exec(t, `alter publication sweeper add table app.p`)
	log, err := purgelog.Open(t.Context(), purgelog.Options{
		URL: b.db.URL("sweeper_logger"), SystemID: "7", Slot: "s", Confirmed: begins, Key: key, Log: slog.New(slog.DiscardHandler),
		Publications: []string{"sweeper", "sweeper_redact", "sweeper_stamp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close(t.Context())
	took := func(what string, most time.Duration, do func()) {
		t.Helper()
		began := time.Now()
		do()
		if d := time.Since(began); d > most {
			t.Errorf("%s took %s", what, d)
		} else {
			t.Logf("%s took %s", what, d.Round(time.Millisecond))
		}
	}
	look := func() {
		if err := log.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := log.Settle(t.Context(), 1<<60); err != nil {
			t.Fatal(err)
		}
	}
	took("a look", 10*time.Second, look)
	took("another", 10*time.Second, look)
	for _, sql := range []string{
		`create table app.p_x partition of app.p for values from (4000) to (4001)`, `alter table app.p detach partition app.p_2`, `drop table app.p_1`,
	} {
		took(sql, 10*time.Second, func() { b.db.Exec(t, sql) })
	}
	if got := b.text(t, `select string_agg(kind || ' ' || partition, ', ' order by batch_id) from sweeper.batches where fact = 'ddl' and partition is not null`); got != "detach_partition app.p_2, drop_partition app.p_1" {
		t.Errorf("noted are %s", got)
	}
}
