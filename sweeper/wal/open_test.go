package wal_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

func TestOpenTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	plain := b.db.Role(t, "plain", "login")
	for _, test := range []struct {
		name   string
		change func(*wal.Options)
		want   error
		text   string
	}{
		{"slot", func(o *wal.Options) { o.Slot = "nowhere" }, wal.ErrSlotMissing, `"nowhere"`},
		{"slot name", func(o *wal.Options) { o.Slot = "No-Name" }, nil, "lower-case letters"},
		{"publication", func(o *wal.Options) { o.Publications = []string{"sweeper", `a"b'c,d`} }, wal.ErrPublicationMissing, `a\"b'c,d`},
		{"no publication", func(o *wal.Options) { o.Publications = nil }, nil, "no publication"},
		{"role", func(o *wal.Options) { o.URL = b.db.URL(plain) }, wal.ErrNotReplication, plain},
		{"database", func(o *wal.Options) { o.URL = strings.Replace(o.URL, b.db.Name, "nowhere", 1) }, nil, "SQLSTATE 3D000"},
		{"url", func(o *wal.Options) { o.URL = "postgres://u:hunter2@h:x/" }, nil, "not a valid PostgreSQL URL"},
	} {
		o := b.options()
		test.change(&o)
		_, err := wal.Open(t.Context(), o)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %v with %q", test.name, err, test.want, test.text)
		}
	}
}

func TestBusySlotNamesThePid(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	b.open(t)
	s, err := wal.SlotStatus(t.Context(), b.conn, b.slot)
	if err != nil || !s.Active || s.ActivePID == 0 {
		t.Fatalf("got %+v, %v from a slot in use", s, err)
	}
	_, err = wal.Open(t.Context(), b.options())
	if !errors.Is(err, wal.ErrSlotBusy) || !strings.Contains(err.Error(), fmt.Sprint(s.ActivePID)) {
		t.Errorf("got %v, want ErrSlotBusy with pid %d", err, s.ActivePID)
	}
}

func TestPublicationThatIsYoungerThanTheSlot(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	b.db.Exec(t, `delete from t where id = 1`)
	b.db.Exec(t, `create publication late for table t with (publish = 'delete')`)
	o := b.options()
	o.Publications = []string{"late"}
	r, err := wal.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeReader(t, r) })
	if _, err := r.Next(t.Context()); !errors.Is(err, wal.ErrPublicationMissing) || !strings.Contains(err.Error(), "late") {
		t.Errorf("got %v, want ErrPublicationMissing", err)
	}
}

func TestLogicalMessagesAndRoleWithoutPrivileges(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	role := b.db.Role(t, "reader", "login replication")
	r := b.open(t, func(o *wal.Options) { o.URL = b.db.URL(role) })
	b.db.Exec(t, `select pg_logical_emit_message(true, 'p', 'c'); select pg_logical_emit_message(false, 'p', 'c')`)
	b.db.Exec(t, `delete from t`)
	if _, got := read(t, r); len(got) != 3 {
		t.Errorf("got %q", got)
	}
	if r.Ignored() != 0 {
		t.Errorf("%d messages of unknown type", r.Ignored())
	}
	if want := pgtest.QueryOne[string](t, b.conn, `select system_identifier::text from pg_control_system()`); r.SystemID() != want {
		t.Errorf("system %q, want %q", r.SystemID(), want)
	}
}

func TestLostSlot(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{Settings: map[string]string{
		"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB",
	}})
	conn, err := pgx.Connect(t.Context(), s.URL("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`create table filler (v text)`)
	exec(`create publication sweeper`)
	if err := wal.CreateSlot(t.Context(), conn, "lost"); err != nil {
		t.Fatal(err)
	}
	status := func() wal.Status {
		t.Helper()
		status, err := wal.SlotStatus(t.Context(), conn, "lost")
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if got := status(); got.WALStatus != "reserved" || got.Plugin != "pgoutput" || got.Database != "postgres" || got.Confirmed < got.Restart || got.Restart == 0 {
		t.Errorf("a new slot is %+v", got)
	}
	for range 4 {
		exec(`insert into filler select repeat('x', 500) from generate_series(1, 40000)`)
		exec(`select pg_switch_wal()`)
		exec(`checkpoint`)
	}
	if got := status(); got.WALStatus != "lost" || got.Restart != 0 || got.RetainedBytes != 0 {
		t.Errorf("the slot is %+v, want it lost", got)
	}
	_, err = wal.Open(t.Context(), wal.Options{
		URL: s.URL("postgres", pgserver.Superuser), Slot: "lost", Publications: []string{"sweeper"},
	})
	if !errors.Is(err, wal.ErrSlotLost) {
		t.Errorf("got %v, want ErrSlotLost", err)
	}
	if err := wal.DropSlot(t.Context(), conn, "lost", "sweeper"); err != nil || status().Exists {
		t.Errorf("drop the lost slot: %v", err)
	}
}

// A server that stops waits for its readers to confirm all WAL, which we do
// not do for what is not in the log.
func TestServerCanStop(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t, pgserver.Options{Settings: map[string]string{"max_prepared_transactions": "5"}})
	address := s.URL("postgres", pgserver.Superuser)
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), three+`; create publication sweeper for table t with (publish = 'delete')`); err != nil {
		t.Fatal(err)
	}
	if err := wal.CreateSlot(t.Context(), conn, "sweeper"); err != nil {
		t.Fatal(err)
	}
	r, err := wal.Open(t.Context(), wal.Options{URL: address, Slot: "sweeper", Publications: []string{"sweeper"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeReader(t, r) })

	// Prepared transactions come when they are committed.
	for _, sql := range []string{
		`begin; delete from t where id = 1; prepare transaction 'one'`, `begin; delete from t where id = 2; prepare transaction 'two'`,
		`delete from t where id = 3`, `rollback prepared 'one'`, `commit prepared 'two'`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"delete public.t id=3", "delete public.t id=2"} {
		if _, got := read(t, r); len(got) != 1 || got[0] != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}

	if err := syscall.Kill(s.Pid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(t.Context()); pg.Classify(err) != pg.Unreachable {
		t.Errorf("got %v, want a lost connection", err)
	}
	pgtest.Eventually(t, "the server has stopped", func() bool { return syscall.Kill(s.Pid(), 0) != nil })
}

func TestCreateSlotNamesWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	// A server of its own: the open transaction would hold up all other slots.
	s := pgtest.Server(t, pgserver.Options{})
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.Connect(t.Context(), s.URL("postgres", pgserver.Superuser))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		conns[i] = conn
	}
	writer, conn := conns[0], conns[1]
	if _, err := writer.Exec(t.Context(), `begin; create table t (id int)`); err != nil {
		t.Fatal(err)
	}
	err := wal.CreateSlot(t.Context(), conn, "late", wal.Within(100*time.Millisecond))
	if want := fmt.Sprintf("pid %d", writer.PgConn().PID()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if s, err := wal.SlotStatus(t.Context(), conn, "late"); err != nil || s.Exists {
		t.Errorf("half a slot is left: %+v, %v", s, err)
	}
	if _, err := writer.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	if err := wal.CreateSlot(t.Context(), conn, "late", wal.Within(100*time.Millisecond)); err != nil {
		t.Error(err)
	}
	if err := wal.CreateSlot(t.Context(), conn, "late"); pg.SQLState(err) != "42710" {
		t.Errorf("got %v from making it twice, want 42710", err)
	}
	if err := wal.CreateSlot(t.Context(), conn, `x"; drop`); err == nil {
		t.Error("a slot name that is none was taken")
	}
}

func TestDropSlotEndsOnlyItsOwnReader(t *testing.T) {
	t.Parallel()
	b := setup(t, three, []string{"t"}, nil, nil)
	r := b.open(t, func(o *wal.Options) { o.Application = "sweeper/test" })
	s, err := wal.SlotStatus(t.Context(), b.conn, b.slot)
	if err != nil {
		t.Fatal(err)
	}
	err = wal.DropSlot(t.Context(), b.conn, b.slot, "another")
	if !errors.Is(err, wal.ErrSlotBusy) || !strings.Contains(err.Error(), fmt.Sprint(s.ActivePID)) {
		t.Errorf("got %v, want ErrSlotBusy with pid %d", err, s.ActivePID)
	}
	for range 2 { // the second time there is none
		if err := wal.DropSlot(t.Context(), b.conn, b.slot, "sweeper/test"); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Next(t.Context()); pg.Classify(err) != pg.Unreachable {
		t.Errorf("got %v, want a lost connection", err)
	}
}

func TestInsertsAreNeverSent(t *testing.T) {
	t.Parallel()
	b := setup(t, `create table deleted (id int primary key, v text); create table redacted (id int primary key, v text)`,
		[]string{"deleted"}, []string{"redacted"}, nil)
	direct, err := url.Parse(b.db.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	link := relay(t, direct.Host)
	r := b.open(t, func(o *wal.Options) { o.URL = strings.Replace(o.URL, direct.Host, link.address, 1) })
	const canary = "canary-4711"
	b.db.Exec(t, `insert into deleted select g, '`+canary+`' from generate_series(1, 10000) g;
		insert into redacted select g, '`+canary+`' from generate_series(1, 10000) g; update deleted set v = '`+canary+`' || v`)
	b.db.Exec(t, `delete from deleted where id = 10000`)
	if _, got := read(t, r); !cmp.Equal(got, []string{"delete public.deleted id=10000"}) {
		t.Errorf("got %q", got)
	}
	seen := link.seen()
	if strings.Contains(seen, canary) {
		t.Error("a value of the application went through the connection")
	}
	// Names, the start of the stream and keepalives; 30 000 rows would be more.
	if len(seen) > 20_000 {
		t.Errorf("%d bytes went through the connection for one deleted row", len(seen))
	}
}
