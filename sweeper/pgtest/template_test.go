package pgtest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

func TestFromPreparesOnceAndCopies(t *testing.T) {
	t.Parallel()
	key := name("once") // another one in each run of -count
	var prepared atomic.Int32
	prepare := func(t testing.TB, d *DB) {
		prepared.Add(1)
		d.Exec(t, "create table a (id int primary key); insert into a values (1); create publication p for table a")
		c := d.Conn(t, "") // stays open: the template is sealed all the same
		QueryOne[string](t, c, "select slot_name from pg_create_logical_replication_slot($1, 'pgoutput')", d.Slot())
	}
	t.Run("copies", func(t *testing.T) {
		for i := range 3 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				d := From(t, key, prepare)
				d.Exec(t, "insert into a values ($1)", i+10)
				c := d.Conn(t, "")
				if got := QueryOne[int](t, c, "select count(*) from a"); got != 2 {
					t.Errorf("rows: got %d, want the template's and our own", got)
				}
				if got := QueryOne[int](t, c, "select count(*) from pg_publication_tables"); got != 1 {
					t.Errorf("published tables: got %d, want 1", got)
				}
			})
		}
	})
	if got := prepared.Load(); got != 1 {
		t.Errorf("prepared %d times, want once", got)
	}
	c := Database(t).Conn(t, "")
	if got := QueryOne[int](t, c, "select count(*) from pg_replication_slots where starts_with(database, 'template_')"); got != 0 {
		t.Errorf("slots of the template: got %d, want none", got)
	}
}

// failing is a test that may fail without failing the one that watches it.
type failing struct {
	testing.TB
	ctx     context.Context
	cleanup []func()
	message string
}

func (f *failing) Helper()                  {}
func (f *failing) Context() context.Context { return f.ctx }
func (f *failing) Cleanup(g func())         { f.cleanup = append(f.cleanup, g) }
func (f *failing) Fatal(args ...any)        { f.message = fmt.Sprint(args...); panic(f) }
func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	panic(f)
}

// watch runs f to its failure and returns what it said.
func watch(t *testing.T, f func(t testing.TB)) string {
	t.Helper()
	fake := &failing{TB: t, ctx: t.Context()}
	func() {
		defer func() {
			if p := recover(); p != nil && p != fake {
				panic(p)
			}
		}()
		f(fake)
	}()
	for _, g := range fake.cleanup {
		g()
	}
	return fake.message
}

func TestFromWhosePreparationFails(t *testing.T) {
	t.Parallel()
	key := name("broken")
	prepare := func(t testing.TB, d *DB) { d.Exec(t, "this is no statement") }
	got := watch(t, func(t testing.TB) { From(t, key, prepare) })
	if !strings.Contains(got, "this is no statement") {
		t.Errorf("first: got %q, want the statement", got)
	}
	got = watch(t, func(t testing.TB) { From(t, key, prepare) })
	if !strings.Contains(got, t.Name()) {
		t.Errorf("second: got %q, want the name of the test that prepared", got)
	}
}

func TestEventuallyGivesUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := watch(t, func(t testing.TB) {
		t.(*failing).ctx = ctx
		Eventually(t, "pigs fly", func() bool { return false })
	})
	if !strings.Contains(got, "pigs fly") {
		t.Errorf("got %q, want the condition", got)
	}
}
