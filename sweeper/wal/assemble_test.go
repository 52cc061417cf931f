package wal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"
)

// frames are messages as a server sent them.
func frames(t testing.TB) [][]byte {
	t.Helper()
	file, err := os.Open("testdata/frames.hex")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var all [][]byte
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		b, err := hex.DecodeString(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if lines.Err() != nil || len(all) == 0 {
		t.Fatalf("read the frames: %d, %v", len(all), lines.Err())
	}
	return all
}

// recorder is an assembler that renders its events.
type recorder struct {
	assembler
	events  []string
	strange []byte // types of messages that were ignored
}

// record makes an assembler. Rows are named by key, else by "id", else by the
// whole identity.
func record(key ...string) *recorder {
	r := new(recorder)
	r.assembler = assembler{
		key: func(_ context.Context, _, _ string, identity []string) ([]string, error) {
			switch {
			case key != nil:
				return key, nil
			case slices.Contains(identity, "id"):
				return []string{"id"}, nil
			}
			return identity, nil
		},
		emit: func(_ context.Context, e event) error {
			r.events = append(r.events, renderEvent(e))
			return nil
		},
		take:      func() *Change { return new(Change) },
		skipped:   func(pglogrepl.LSN) bool { return false },
		ignored:   func(kind byte) { r.strange = append(r.strange, kind) },
		relations: map[uint32]*Relation{},
	}
	return r
}

func renderEvent(e event) string {
	switch e.kind {
	case began:
		return fmt.Sprintf("begin %s xid %d", e.tx.CommitLSN, e.tx.XID)
	case committed:
		return fmt.Sprintf("commit to %s", e.lsn)
	case idle:
		return fmt.Sprintf("idle at %s", e.lsn)
	case changed:
	}
	c := e.change
	text := c.Op.String()
	for _, r := range c.Relations {
		text += " " + r.Name
	}
	if c.Op == Truncate {
		return text
	}
	text += " " + c.Relation.Name
	for i := range c.Len() {
		text += " |"
		for _, col := range c.Relation.Columns {
			if v, ok := c.Value(i, col.Name); ok {
				text += fmt.Sprintf(" %s=%.20s", col.Name, v)
			}
		}
		text += " " + string(c.Key(i))
	}
	return text
}

func (r *recorder) feed(messages ...[]byte) error {
	for _, m := range messages {
		if err := r.message(context.Background(), m); err != nil {
			return err
		}
	}
	return nil
}

func TestCapturedStream(t *testing.T) {
	t.Parallel()
	r := prepared(t, frames(t))
	key := func(column, text string) string {
		return fmt.Sprintf("\x00\x00\x00%c%s\x00\x00\x00%c%s", len(column), column, len(text), text)
	}
	one, two := key("id", "1"), key("id", "2")
	want := []string{
		"begin 0/19380E8 xid 726",
		"insert d | b=x a=1 v=a  | b= a=2 ",
		"delete d | " + key("b", "x") + key("a", "1") + " | " + key("b", "") + key("a", "2"),
		"commit to 0/1938118",
		"begin 0/19382D8 xid 727", "insert f | id=1 ", "update f | " + one, "delete f | " + one, "commit to 0/1938308",
		"begin 0/1938F60 xid 728", "insert u | id=1 big=c4ca4238a0b923820dcc e=e ", "commit to 0/1938F90",
		"begin 0/19391B0 xid 729", "update u | " + one + " | " + one, "delete u | " + two, "commit to 0/19391E0",
		"begin 0/1939E38 xid 730", "insert uf | id=1 big=c4ca4238a0b923820dcc e=e ", "commit to 0/1939E68",
		"begin 0/193BEC8 xid 731", "update uf | " + one + " | " + one, "delete uf | " + two, "commit to 0/193BEF8",
		"begin 0/193BF80 xid 732", "insert s | id=1 at=2026-11-22 01:57:55. note=ñ  | ", "commit to 0/193BFB0",
		"begin 0/193D698 xid 733", "truncate d f", "commit to 0/193D938",
		"idle at 0/193D9A8",
		"begin 0/193DD08 xid 736", "insert d | b=o a=3 v=b ", "commit to 0/193DD50",
	}
	if d := cmp.Diff(want, r.events); d != "" {
		t.Error(d)
	}
	if len(r.strange) != 0 {
		t.Errorf("ignored %q", r.strange)
	}
}

// A message that is cut or padded is an error that tells its type and length
// and nothing of what it holds.
func TestDamagedMessagesAreErrors(t *testing.T) {
	t.Parallel()
	all := frames(t)
	for i, m := range all {
		if strings.IndexByte("YOM", m[0]) >= 0 {
			continue
		}
		var damaged [][]byte
		for n := range min(len(m)-1, 200) {
			damaged = append(damaged, m[:n+1])
		}
		damaged = append(damaged, append(bytes.Clone(m), 0))
		for _, d := range damaged {
			err := prepared(t, all[:i]).feed(d)
			if err == nil {
				t.Fatalf("frame %d, %q cut to %d of %d bytes: no error", i, m[0], len(d), len(m))
			}
			if !strings.Contains(err.Error(), fmt.Sprintf("%q of %d bytes", m[0], len(d))) && !errors.Is(err, ErrOutOfOrder) {
				t.Errorf("got %v, want type %q and length %d named", err, m[0], len(d))
			}
			if strings.Contains(err.Error(), "c4ca") || len(err.Error()) > 200 {
				t.Errorf("%v", err)
			}
		}
	}
}

// prepared is an assembler that has seen messages.
func prepared(t testing.TB, messages [][]byte) *recorder {
	t.Helper()
	r := record()
	if err := r.feed(messages...); err != nil {
		t.Fatal(err)
	}
	return r
}

// The parts of messages, to write them by hand.
func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch v := p.(type) {
		case byte:
			b = append(b, v)
		case string: // an identifier
			b = append(append(b, v...), 0)
		case []byte:
			b = append(b, v...)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, v)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	return b
}

func beginAt(lsn uint64) []byte { return cat(byte('B'), lsn, uint64(0), uint32(7)) }

func commitAt(lsn, end uint64) []byte { return cat(byte('C'), byte(0), lsn, end, uint64(0)) }

// relation describes a table of text columns; those with a * are its identity.
func relation(oid uint32, columns ...string) []byte {
	b := cat(byte('R'), oid, "public", fmt.Sprintf("t%d", oid), byte('d'), uint16(len(columns)))
	for _, c := range columns {
		name, flagged := strings.CutSuffix(c, "*")
		flag := byte(0)
		if flagged {
			flag = 1
		}
		b = append(b, cat(flag, name, uint32(25), uint32(0xffffffff))...)
	}
	return b
}

// tuple has one text for each column; "\x00n" and "\x00u" are the other forms.
func tuple(form byte, columns ...string) []byte {
	b := cat(form, uint16(len(columns)))
	for _, c := range columns {
		if kind, ok := strings.CutPrefix(c, "\x00"); ok {
			b = append(b, kind...)
			continue
		}
		b = append(b, cat(byte('t'), uint32(len(c)), []byte(c))...)
	}
	return b
}

func row(op Op, oid uint32, tuples ...[]byte) []byte {
	return cat(byte(op), oid, bytes.Join(tuples, nil))
}

func TestOrderIsChecked(t *testing.T) {
	t.Parallel()
	table, gone := relation(1, "id*"), row(Delete, 1, tuple('K', "1"))
	for name, messages := range map[string][][]byte{
		"begin twice":              {beginAt(100), beginAt(200)},
		"begin before the last":    {beginAt(100), commitAt(100, 110), beginAt(90)},
		"the same again":           {beginAt(100), commitAt(100, 110), beginAt(100)},
		"commit without begin":     {commitAt(100, 110)},
		"commit of another":        {beginAt(100), commitAt(101, 110)},
		"commit that ends nowhere": {beginAt(100), commitAt(100, 100)},
		"commit at another time":   {beginAt(100), cat(byte('C'), byte(0), uint64(100), uint64(110), uint64(1))},
		"row outside":              {table, gone},
		"row after the commit":     {beginAt(100), table, commitAt(100, 110), gone},
		"row of an unknown table":  {beginAt(100), gone},
		"truncate outside":         {table, cat(byte('T'), uint32(1), byte(0), uint32(1))},
		"truncate of unknown":      {beginAt(100), cat(byte('T'), uint32(1), byte(0), uint32(1))},
	} {
		r := record()
		if err := r.feed(messages...); !errors.Is(err, ErrOutOfOrder) {
			t.Errorf("%s: got %v, want ErrOutOfOrder", name, err)
		}
	}
}

func TestRowsThatCannotBeNamed(t *testing.T) {
	t.Parallel()
	const secret = "secret-value"
	for _, test := range []struct {
		name string
		row  []byte
		want string
	}{
		{"unchanged key", row(Update, 1, tuple('N', "\x00u", secret)), `relation "public"."t1": key column "id" of a row was not sent`},
		{"NULL key", row(Delete, 1, tuple('K', "\x00n", secret)), `relation "public"."t1": key column "id" of a row is NULL`},
		{"too few columns", row(Delete, 1, tuple('K', secret)), `relation "public"."t1": a row of 1 columns, 2 were described`},
		{"too many columns", row(Insert, 1, tuple('N', secret, "", "")), `a row of 3 columns, 2 were described`},
		{"a new tuple deleted", row(Delete, 1, tuple('N', secret, "")), `the unknown form 'N'`},
		{"two old tuples", row(Update, 1, tuple('K', secret, ""), tuple('K', secret, "")), `the unknown form 'K'`},
		{"binary", row(Delete, 1, cat(byte('K'), uint16(2), byte('b'), uint32(1), byte(1), byte('n'))), `the unknown form 'b'`},
		{"negative length", row(Delete, 1, cat(byte('K'), uint16(2), byte('t'), uint32(0xfffffff0))), `ends early`},
		{"binary behind the key", row(Update, 1, tuple('K', secret, ""), cat(byte('N'), uint16(1), byte('b'))), `the unknown form 'b'`},
		{"no key", row(Delete, 2, tuple('K', secret)), `relation "public"."t2" has no key`},
		{"not published key", row(Delete, 3, tuple('K', secret)), `relation "public"."t3": key column "id"`},
	} {
		r := record()
		if err := r.feed(beginAt(100), relation(1, "id*", "v"), relation(2, "v")); err != nil {
			t.Fatal(err)
		}
		r.key = record("id").key
		if err := r.feed(relation(3, "v*")); err != nil {
			t.Fatal(err)
		}
		err := r.feed(test.row)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestInsertsNeedNoKey(t *testing.T) {
	t.Parallel()
	r := record("id")
	if err := r.feed(beginAt(100), relation(1, "v"), row(Insert, 1, tuple('N', "x")), commitAt(100, 110)); err != nil {
		t.Error(err)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	r := record()
	var changes []Change
	r.emit = func(_ context.Context, e event) error {
		if e.kind == changed {
			changes = append(changes, *e.change)
		}
		return nil
	}
	feed := func(m ...[]byte) {
		t.Helper()
		if err := r.feed(m...); err != nil {
			t.Fatal(err)
		}
	}
	feed(beginAt(100), relation(1, "id*"), relation(2, "id*"))
	for range 4500 {
		feed(row(Delete, 1, tuple('K', "1")))
	}
	feed(row(Update, 1, tuple('N', "1")), row(Delete, 2, tuple('K', "1")))
	for range 3 {
		feed(row(Delete, 2, tuple('K', strings.Repeat("x", maxBytes-20))))
	}
	feed(relation(2, "id*", "v"), row(Delete, 2, tuple('K', "1", "\x00n")), commitAt(100, 110))
	var got []string
	for i := range changes {
		got = append(got, fmt.Sprintf("%s %s %d", changes[i].Op, changes[i].Relation.Name, changes[i].Len()))
	}
	want := []string{"delete t1 2000", "delete t1 2000", "delete t1 500", "update t1 1", "delete t2 2", "delete t2 2", "delete t2 1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestUnknownMessagesAreCounted(t *testing.T) {
	t.Parallel()
	r := record()
	if err := r.feed([]byte("A"), []byte("S1234"), []byte("E"), []byte("c"), []byte{0}, []byte("Y"), []byte("O"), []byte("M")); err != nil {
		t.Fatal(err)
	}
	if string(r.strange) != "ASEc\x00" {
		t.Errorf("ignored %q", r.strange)
	}
	if err := r.feed(nil); err == nil {
		t.Error("an empty message is no error")
	}
}

func TestEmptyTransactionOnlyMovesThePosition(t *testing.T) {
	t.Parallel()
	r := record()
	if err := r.feed(beginAt(100), relation(1, "id*"), commitAt(100, 110)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"idle at 0/6E"}, r.events); d != "" {
		t.Error(d)
	}
}

func TestTimesOutsideTheRangeOfDurations(t *testing.T) {
	t.Parallel()
	for _, want := range []time.Time{
		time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		micros := (want.Unix()-epoch.Unix())*1e6 + int64(want.Nanosecond()/1000)
		c := open(cat(byte('B'), uint64(micros)))
		if got := c.time(); !got.Equal(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzMessage feeds one message after another into an assembler that knows
// some tables, in and outside of a transaction.
func FuzzMessage(f *testing.F) {
	all := frames(f)
	for i, m := range all {
		f.Add(m, all[(i+1)%len(all)])
	}
	var tables [][]byte
	for _, m := range all {
		if m[0] == 'R' {
			tables = append(tables, m)
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, before := range [][][]byte{tables, append([][]byte{beginAt(1)}, tables...)} {
			r := prepared(t, before)
			if err := r.feed(first, second); err != nil && len(err.Error()) > 1000+len(first)+len(second) {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		}
	})
}
