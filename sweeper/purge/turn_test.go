package purge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestCountsTakeTurns has the counts of many categories take long: no more than the
// workers count at once, lest they hold all connections.
func TestCountsTakeTurns(t *testing.T) {
	t.Parallel()
	const tables = 6
	var ddl, policies strings.Builder
	ddl.WriteString("create schema app;")
	policies.WriteString("version: 1\ncategories:\n")
	for i := range tables {
		fmt.Fprintf(&ddl, "create table app.t%d (id int primary key, at timestamptz not null); insert into app.t%[1]d values (1, '2010-01-01');", i)
		fmt.Fprintf(&policies, "  c%d: {table: app.t%[1]d, start_from: at, delete: {after: P5Y}}\n", i)
	}
	b := setup(t, ddl.String(), policies.String())
	o := b.options(logTo(&buffer{}), func(o *purge.Options) { o.Workers = 2 })
	pool := b.pool(t, 2*tables)
	defer pool.Close()
	plan, app := b.plan(t, in2026), b.db.Conn(t, "")
	if _, err := app.Exec(t.Context(), `begin; lock table app.t0, app.t1, app.t2, app.t3, app.t4, app.t5 in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	done := make(chan []purge.Outcome, 1)
	go func() { done <- purge.Run(t.Context(), pool, plan, o) }()
	waits := func() int {
		return pgtest.QueryOne[int](t, b.admin, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'relation'`)
	}
	pgtest.Eventually(t, "two counts wait", func() bool { return waits() >= 2 })
	most := 0
	until := time.Now().Add(time.Second)
	pgtest.Eventually(t, "a second has passed", func() bool { most = max(most, waits()); return time.Now().After(until) })
	if _, err := app.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	if outcomes := <-done; len(outcomes) != tables || most > 2 {
		t.Errorf("%d outcomes, at most %d counts at once", len(outcomes), most)
	}
}
