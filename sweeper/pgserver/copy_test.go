package pgserver

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// until returns when a query gives want, and fails after 30 s.
func until(t *testing.T, conn *pgx.Conn, sql, want string) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for one(t, conn, sql) != want {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: %q, want %q", sql, one(t, conn, sql), want)
		}
	}
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
}

func copied(t *testing.T, from *Server, o Options) *Server {
	t.Helper()
	s, err := from.Copy(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

func TestStandbyFollowsIsPromotedAndIsFollowed(t *testing.T) {
	t.Parallel()
	primary := start(t, Options{Settings: map[string]string{"wal_keep_size": "256MB"}})
	one1 := connect(t, primary.URL("postgres", Superuser))
	run(t, one1, "create table seen (n int); insert into seen values (1); select pg_create_physical_replication_slot('never_copied')")
	standby := copied(t, primary, Options{Standby: true, Settings: map[string]string{"primary_conninfo": primary.URL("postgres", Superuser), "wal_keep_size": "256MB"}})
	two := connect(t, standby.URL("postgres", Superuser))
	if got := one(t, two, "select count(*)::text from pg_replication_slots"); got != "0" {
		t.Errorf("the standby has %s slots, a base backup leaves them out", got)
	}
	run(t, one1, "insert into seen values (2)")
	until(t, two, "select count(*)::text from seen", "2")
	if err := primary.Halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, two, "insert into seen values (3)")
	if err := primary.Follow(t.Context(), map[string]string{"primary_conninfo": standby.URL("postgres", Superuser)}); err != nil {
		t.Fatal(err)
	}
	one2 := connect(t, primary.URL("postgres", Superuser))
	until(t, one2, "select count(*)::text from seen", "3")
	if got := one(t, one2, "select pg_is_in_recovery()::text"); got != "true" {
		t.Error("the server that was the primary is no standby")
	}
}

func TestCopyWithSlotsGoesItsOwnWay(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := connect(t, s.URL("postgres", Superuser))
	run(t, conn, "create table seen (n int); insert into seen values (1)")
	run(t, conn, "select pg_create_logical_replication_slot('taken', 'pgoutput')")
	twin := copied(t, s, Options{Slots: true})
	run(t, conn, "insert into seen values (2)")
	other := connect(t, twin.URL("postgres", Superuser))
	for _, test := range []struct{ sql, want string }{
		{"select string_agg(slot_name, ',') from pg_replication_slots", "taken"},
		{"select count(*)::text from seen", "1"},
		{"select timeline_id::text from pg_control_checkpoint()", one(t, conn, "select timeline_id::text from pg_control_checkpoint()")},
		{"select system_identifier::text from pg_control_system()", one(t, conn, "select system_identifier::text from pg_control_system()")},
	} {
		if got := one(t, other, test.sql); got != test.want {
			t.Errorf("%s: got %q, want %q", test.sql, got, test.want)
		}
	}
}
