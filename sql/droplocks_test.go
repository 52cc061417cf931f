package sql_test

import (
	"slices"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestDropWaitsForHolds: a hold that is being placed is seen.
func TestDropWaitsForHolds(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 's', '2020-01-01')`)
	exec(t, s.admin, `begin; select sweeper.apply_hold(null, 'r', 'me', category => 'shots')`)
	refused(t, s.daemon, "55P03", dropSQL, drop{}.args()...) // 500 ms for the fence, too
	exec(t, s.admin, `commit`)
	s.stays(t, "held", "SW002", drop{})
}

// TestDropGivesWay: half a second for a lock, and the application goes on.
func TestDropGivesWay(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "At") values (1, '2020-01-01')`)
	app := s.db.Conn(t, "")
	for _, busy := range []string{
		`lock table app.shots in access share mode`, `select from app.young`, `select from only app.old`, `lock table app.old in row exclusive mode`,
		`insert into app.shots (id, "At") values (9, '2024-01-01')`,
	} {
		exec(t, app, `begin`)
		exec(t, app, busy)
		if busy == `select from app.young` {
			exec(t, app, `rollback`) // a reader of another leaf alone is in nobody's way
			continue
		}
		exec(t, s.daemon, `set lock_timeout = 0`)
		refused(t, s.daemon, "55P03", dropSQL, drop{}.args()...)
		exec(t, app, `rollback`)
		if got := pgtest.QueryOne[string](t, s.admin, leftSQL); got != "app.old,app.young 1 0" {
			t.Errorf("%s: left is %q", busy, got)
		}
	}
	exec(t, s.daemon, dropSQL, drop{}.args()...)
}

// TestDropOutwaitsAVacuum: for a vacuum a drop waits longer than half a second,
// since the server ends its own only for who has waited a second; and what the
// application writes into the leaf meanwhile does not wait with it.
func TestDropOutwaitsAVacuum(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "At") values (1, '2020-01-01')`)
	exec(t, s.admin, `do $$ begin execute format('alter database %I set deadlock_timeout = %L', current_database(), '2500ms'); end $$`)
	s.daemon = s.db.Conn(t, "sweeper_daemon") // which waits for 3 s at most
	vacuum, app := s.db.Conn(t, ""), s.db.Conn(t, "")
	exec(t, vacuum, `begin`)
	exec(t, vacuum, `lock table app.old in share update exclusive mode`) // as a vacuum does
	done := background(t.Context(), s.daemon, dropSQL, drop{}.args()...)
	waits(t, s.admin, s.daemon.PgConn().PID())
	exec(t, app, `set lock_timeout = '100ms'`)
	exec(t, app, `insert into app.shots (id, "At") values (2, '2020-01-02')`)
	exec(t, vacuum, `select pg_sleep(0.7)`)
	waits(t, s.admin, s.daemon.PgConn().PID())
	exec(t, vacuum, `commit`)
	if err := <-done; err != nil {
		t.Errorf("the drop did not wait long enough: %v", err)
	}
	if got := pgtest.QueryOne[string](t, s.admin, `select row_count::text from sweeper.batches where fact = 'report'`); got != "2" {
		t.Errorf("%s rows went, want both", got)
	}
}

// TestDropsOfTheLastTwo: two sessions may not take one of the last two each.
func TestDropsOfTheLastTwo(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	other := s.db.Conn(t, "sweeper_daemon")
	exec(t, s.daemon, `begin`)
	exec(t, s.daemon, dropSQL, drop{}.args()...)
	done := background(t.Context(), other, dropSQL, drop{leaf: "app.young"}.args()...)
	waits(t, s.admin, other.PgConn().PID())
	exec(t, s.daemon, `commit`)
	if err := <-done; pg.SQLState(err) != "55P03" { // half a second may pass on a busy machine
		refusal(t, err, "SW003", "the last one")
	}
	refused(t, other, "SW003", dropSQL, drop{leaf: "app.young"}.args()...)
	if left := texts(t, s.admin, `select inhrelid::regclass::text from pg_inherits where inhparent = 'app.shots'::regclass`); !slices.Equal(left, []string{"app.young"}) {
		t.Errorf("left is %q", left)
	}
}

// TestWritersWaitForTheManifest: while a partition's manifest is made nobody
// writes to the leaf, so that what is counted is what goes; writers of other
// leaves and readers go on. A hold that comes meanwhile waits, and finds it gone.
func TestWritersWaitForTheManifest(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	s.detaching(t, "count")
	exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 's', '2020-01-01')`)
	writer, holder := s.db.Conn(t, ""), s.db.Conn(t, "")
	exec(t, s.daemon, `begin`)
	if n := pgtest.QueryOne[int](t, s.daemon, detachSQL, drop{}.args()...); n != 1 {
		t.Fatalf("%d rows went", n)
	}
	wrote := background(t.Context(), writer, `insert into app.old (id, "At") values (2, '2020-06-01')`)
	held := background(t.Context(), holder, `select sweeper.apply_hold(null, 'r', 'me', category => 'shots')`)
	waits(t, s.admin, writer.PgConn().PID())
	waits(t, s.admin, holder.PgConn().PID())
	exec(t, s.daemon, `commit`)
	if err := <-wrote; err != nil {
		t.Errorf("the writer: %v", err)
	}
	if err := <-held; err != nil {
		t.Errorf("the hold: %v", err)
	}
	if got := pgtest.QueryOne[string](t, s.admin, `select (select count(*) from app.old) || ' ' || (select row_count from sweeper.batches where fact = 'report')`); got != "2 1" {
		t.Errorf("rows in the detached table and in its manifest: %s", got)
	}
}
