package wal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience bounds what a test waits for the stream. Reaching it is a failure.
const patience = 60 * time.Second

// testBundle is a database with the three publications and a slot.
type testBundle struct {
	db   *pgtest.DB
	conn *pgx.Conn
	slot string
}

// setup runs ddl, publishes the tables (deletes and truncates, updates too,
// inserts) and makes the slot.
func setup(t testing.TB, ddl string, deleted, redacted, stamped []string) *testBundle {
	t.Helper()
	db := pgtest.Database(t)
	b := &testBundle{db: db, conn: db.Conn(t, ""), slot: db.Slot()}
	b.db.Exec(t, ddl)
	for _, p := range []struct {
		name, publish string
		tables        []string
	}{
		{"sweeper", "delete, truncate", deleted},
		{"sweeper_redact", "update, delete, truncate", redacted},
		{"sweeper_stamp", "insert", stamped},
	} {
		sql := "create publication " + p.name
		if len(p.tables) > 0 {
			sql += " for table " + strings.Join(p.tables, ", ")
		}
		b.db.Exec(t, sql+" with (publish = '"+p.publish+"', publish_via_partition_root = false)")
	}
	if err := wal.CreateSlot(t.Context(), b.conn, b.slot); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *testBundle) options() wal.Options {
	return wal.Options{
		URL: b.db.URL(""), Slot: b.slot, Publications: []string{"sweeper", "sweeper_redact", "sweeper_stamp"},
	}
}

// open opens a reader that is closed when the test ends.
func (b *testBundle) open(t testing.TB, change ...func(*wal.Options)) *wal.Reader {
	t.Helper()
	o := b.options()
	for _, c := range change {
		c(&o)
	}
	r, err := reopen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeReader(t, r) })
	return r
}

// reopen waits while the server still ends the session before.
func reopen(ctx context.Context, o wal.Options) (*wal.Reader, error) {
	for {
		r, err := wal.Open(ctx, o)
		if !errors.Is(err, wal.ErrSlotBusy) || ctx.Err() != nil {
			return r, err
		}
	}
}

func closeReader(t testing.TB, r *wal.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

// read renders the next transaction, one line for each row or truncate:
// "delete public.t id=1".
func read(t testing.TB, r *wal.Reader) (*wal.Tx, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tx, err := r.Next(ctx)
	if err != nil {
		t.Fatalf("next transaction: %v", err)
	}
	var lines []string
	for {
		c, err := tx.Next(ctx)
		if errors.Is(err, io.EOF) {
			return tx, lines
		}
		if err != nil {
			t.Fatalf("next change: %v", err)
		}
		lines = append(lines, render(t, c)...)
	}
}

func render(t testing.TB, c *wal.Change) []string {
	t.Helper()
	if c.Op == wal.Truncate {
		var names []string
		for _, r := range c.Relations {
			names = append(names, r.Schema+"."+r.Name)
		}
		return []string{"truncate " + strings.Join(names, " ")}
	}
	var lines []string
	for i := range c.Len() {
		line := fmt.Sprintf("%s %s.%s", c.Op, c.Relation.Schema, c.Relation.Name)
		if c.Op == wal.Insert {
			for _, col := range c.Relation.Columns {
				if v, ok := c.Value(i, col.Name); ok {
					line += fmt.Sprintf(" %s=%s", col.Name, v)
				}
			}
		}
		for key := c.Key(i); len(key) > 0; {
			var column, text string
			column, key = field(t, key)
			text, key = field(t, key)
			line += fmt.Sprintf(" %s=%s", column, text)
		}
		lines = append(lines, line)
	}
	return lines
}

// field takes lp(x) off b.
func field(t testing.TB, b []byte) (string, []byte) {
	t.Helper()
	if len(b) < 4 || int(binary.BigEndian.Uint32(b)) > len(b)-4 {
		t.Fatalf("a key ends within a field")
	}
	n := int(binary.BigEndian.Uint32(b))
	return string(b[4 : 4+n]), b[4+n:]
}

// quiet asserts that nothing comes before a transaction that is made now.
func (b *testBundle) quiet(t testing.TB, r *wal.Reader) {
	t.Helper()
	b.db.Exec(t, `create table if not exists marker (id bigint primary key);
		do $$ begin alter publication sweeper_stamp add table marker; exception when duplicate_object then end $$;
		insert into marker select count(*) from marker`)
	if _, lines := read(t, r); len(lines) != 1 || !strings.HasPrefix(lines[0], "insert public.marker") {
		t.Fatalf("got %q, want nothing before the marker", lines)
	}
}
