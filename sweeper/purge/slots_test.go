package purge_test

import (
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestFailedStepsGiveTheirSlotsBack has steps fail while others wait for a
// slot. Runs share the slots for as long as the process lives: one that is not
// given back is missing for ever, and without any nothing is purged any more.
func TestFailedStepsGiveTheirSlotsBack(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.events (id bigint generated always as identity, at timestamptz, who text, primary key (id, at)) partition by range (at);
		do $$ begin for y in 2010..2019 loop
			execute format('create table app.events_%s partition of app.events for values from (%L) to (%L)', y, make_date(y, 1, 1), make_date(y + 1, 1, 1));
		end loop; end $$;
		insert into app.events (at, who) select make_date(y, 5, 5), 'u' from generate_series(2010, 2019) y`, one("UTC", "    delete: {after: P1Y}\n    partitions: rows\n"))
	p := b.plan(t, in2026)
	b.db.Exec(t, `create function app.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
		create trigger refuse before delete on app.events for each row execute function app.refuse()`)
	pool := b.pool(t, 4)
	defer pool.Close()
	slots := make(chan struct{}, 1)
	for i := range 20 {
		o := purge.Run(t.Context(), pool, p, purge.Options{
			BatchRows: 1000, BatchTarget: time.Second, Workers: 1, LockTimeout: time.Second, StatementTimeout: time.Second,
			AutoApprove: true, Reason: "manual", Actor: "test", Log: b.log, Now: time.Now, Slots: slots,
		})[0]
		if o.State == purge.Succeeded {
			t.Fatalf("run %d: got %+v, want one that says what stays", i, o)
		}
		if len(slots) != 0 {
			t.Fatalf("run %d has ended and keeps a slot", i)
		}
	}
}
