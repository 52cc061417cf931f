package sweeper

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// How a row stands in its table when its purge is proved.
const (
	ProvedAbsent   = "absent"        // no row has the key
	ProvedRedacted = "redacted"      // it is there, and what the log has of it last is a redaction
	ProvedPresent  = "present again" // it is there, though the log has that it went
	ProvedUnknown  = "unknown"       // the table is gone, or may not be read
)

// Proving is what is to be proved: that a row was purged, that the log continues
// an older checkpoint, or both.
type Proving struct {
	Table, Key string    // "" for no row; the key as a text, or a JSON array of texts of several columns
	Since      time.Time // the oldest commit that is looked at
	Older      []byte    // note of an older checkpoint; nil: none
	Progress   func(done, total int64)
}

// Proof is a document, and what was seen beside it.
type Proof struct {
	Document *proof.Document // nil: the log has no commitment to the row
	Entries  []proof.Entry
}

// Prove makes a proof from the log. Errors that are purgelog.ErrBroken say that
// the log contradicts itself.
func Prove(ctx context.Context, cfg Config, w Proving) (*Proof, error) {
	conn, err := cfg.audit(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	wanted := purgelog.Wanted{Since: w.Since, Older: w.Older, Progress: w.Progress, Keys: cfg.hmacKeys()}
	var t *keyed
	if w.Table != "" {
		if err := purgelog.CheckHMACKey(ctx, conn, wanted.Keys...); err != nil {
			return nil, err
		}
		if t, err = readKeyed(ctx, conn, w.Table); err != nil {
			return nil, err
		}
		if wanted.Row, err = t.row(ctx, conn, w.Key); err != nil {
			return nil, err
		}
	}
	d, found, err := purgelog.Prove(ctx, conn, wanted)
	if err != nil || d == nil {
		return &Proof{}, begun(err)
	}
	p := &Proof{Document: d}
	for _, f := range found {
		p.Entries = append(p.Entries, f.Entry)
	}
	if d.Row != nil {
		d.Row.State, d.Row.CheckedAt, err = t.look(ctx, conn, d.Row, p.Entries[len(p.Entries)-1].Kind)
	}
	return p, err
}

// begun turns the absence of a head into the sentence that says so.
func begun(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errors.New("the purge log has not begun; it begins with the first sweep")
	}
	return err
}

// hmacKeys are the key, and the one before it while rotating.
func (c Config) hmacKeys() [][]byte {
	var all [][]byte
	for _, secret := range []Secret{c.HMACKey.First, c.HMACKey.Second} {
		if !secret.IsZero() {
			all = append(all, secret.Bytes())
		}
	}
	return all
}

// keyed is a table as the log names it, with its key.
type keyed struct {
	root    string // schema.table
	columns []string
	types   []string // of the columns; nil: the table is gone
}

// keyedSQL finds a table by its name, or what is remembered of one that is gone.
const keyedSQL = ` -- a varchar without its length: a cast would cut a longer text to another key
with table_ as (select coalesce(pg_partition_root(to_regclass($1)), to_regclass($1)) as oid),
found as (
  select format('%I.%I', n.nspname, c.relname) as root, k.columns, k.types
    from table_ t join pg_class c on c.oid = t.oid join pg_namespace n on n.oid = c.relnamespace
   cross join lateral (
     select array_agg(a.attname::text order by k.pos) as columns, 
            array_agg(case a.atttypid when 'varchar'::regtype then 'varchar' else format_type(a.atttypid, a.atttypmod) end order by k.pos) as types
       from pg_index i cross join unnest(i.indkey::int[]) with ordinality k(attnum, pos)
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      where i.indrelid = c.oid and k.pos <= i.indnkeyatts and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end) k)
select root, columns, types from found
union all
(select root, key_columns, null from sweeper.relations where (select oid from table_) is null and $1 in (relation, root) order by seen_at desc limit 1)`

func readKeyed(ctx context.Context, conn *pgx.Conn, table string) (*keyed, error) {
	var t keyed
	err := conn.QueryRow(ctx, keyedSQL, table).Scan(&t.root, &t.columns, &t.types)
	switch {
	case errors.Is(err, pgx.ErrNoRows), pg.SQLState(err) == "42602":
		return nil, &SetupError{fmt.Sprintf("table %s does not exist, and the purge log knows none of that name", Printable(table)), "write it as schema.table"}
	case err != nil:
		return nil, pg.Wrap("look up table "+table, err)
	case len(t.columns) == 0:
		return nil, &SetupError{fmt.Sprintf("table %s has no key, so that no row of it is in the purge log", t.root), "see: sweeper lint"}
	}
	return &t, nil
}

// row names a row by the canonical text of its key.
func (t *keyed) row(ctx context.Context, conn *pgx.Conn, key string) (*proof.DocumentRow, error) {
	texts := []string{key}
	if len(t.columns) > 1 {
		if err := json.Unmarshal([]byte(key), &texts); err != nil || len(texts) != len(t.columns) {
			return nil, &SetupError{
				fmt.Sprintf("the key of %s has %d columns (%s)", t.root, len(t.columns), strings.Join(t.columns, ", ")),
				`write it as a JSON array of texts in this order, as ["a","1"]`,
			}
		}
	}
	row := &proof.DocumentRow{Relation: t.root, Columns: t.columns, Key: texts}
	for i, typ := range t.types {
		// format, as the stream shows it: a cast to text would strip the blanks of a char(n).
		err := conn.QueryRow(ctx, `select format('%s', $1::text::`+typ+`)`, texts[i]).Scan(&texts[i])
		if code := pg.SQLState(err); strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") {
			return nil, &SetupError{fmt.Sprintf("the key is no value of %s, the key of %s", strings.Join(t.columns, ", "), t.root), "write it as PostgreSQL prints it"}
		}
		if err != nil {
			return nil, pg.Wrap("read a key of "+t.root, err)
		}
	}
	return row, nil
}

// look tells whether the row is in its table now.
func (t *keyed) look(ctx context.Context, conn *pgx.Conn, row *proof.DocumentRow, last string) (state, at string, err error) {
	conditions := []string{"true"}
	args := make([]any, len(row.Key))
	for i, typ := range t.types {
		conditions = append(conditions, fmt.Sprintf("t.%s = $%d::text::%s", pgx.Identifier{t.columns[i]}.Sanitize(), i+1, typ))
		args[i] = row.Key[i]
	}
	var now time.Time
	if err := conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&now); err != nil {
		return "", "", pg.Wrap("look for the row", err)
	}
	at = now.UTC().Format(time.RFC3339)
	if t.types == nil {
		return ProvedUnknown, at, nil
	}
	var there bool
	err = conn.QueryRow(ctx, `select exists (select from `+t.root+` t where `+strings.Join(conditions, " and ")+`)`, args...).Scan(&there)
	switch {
	case pg.SQLState(err) == "42501":
		return ProvedUnknown, at, nil
	case err != nil:
		return "", "", pg.Wrap("look for a row of "+t.root, err)
	case !there:
		return ProvedAbsent, at, nil
	case last == "redact":
		return ProvedRedacted, at, nil
	}
	return ProvedPresent, at, nil
}

// FoundEntry is an entry of one data subject.
type FoundEntry struct {
	Entry proof.Entry
	By    string // "subject_digest", or the key of a table: "key of app.people"
}

// FoundSubject is what the log has of a data subject.
type FoundSubject struct {
	Entries  []FoundEntry
	Unlooked []string // governed tables whose key is not the subject, so that their rows cannot be found by it
}

// Find searches the log for a data subject: entries with its digest, and entries
// with a commitment to the row of a governed table whose key is the subject
// itself. With no tenant, digests made with one are not found.
func Find(ctx context.Context, cfg Config, subject, tenant string) (*FoundSubject, error) {
	conn, err := cfg.audit(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := purgelog.CheckHMACKey(ctx, conn, cfg.hmacKeys()...); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `select distinct relation_name, subject_column::text, format_type(subject_type, -1) from sweeper.governed where subject_column is not null order by 1`)
	if err != nil {
		return nil, pg.Wrap("read what is governed", err)
	}
	type governedTable struct{ name, column, typ string }
	governed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g governedTable, err error) {
		return g, row.Scan(&g.name, &g.column, &g.typ)
	})
	if err != nil {
		return nil, pg.Wrap("read what is governed", err)
	}
	out := &FoundSubject{}
	texts := []string{subject}
	for _, g := range governed {
		var text string
		err := conn.QueryRow(ctx, `select format('%s', $1::text::`+g.typ+`)`, subject).Scan(&text)
		if strings.HasPrefix(pg.SQLState(err), "22") || strings.HasPrefix(pg.SQLState(err), "23") {
			continue // no value of this type: no row of that table can be meant
		}
		if err != nil {
			return nil, pg.Wrap("read the subject as "+g.typ, err)
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
		t, err := readKeyed(ctx, conn, g.name)
		if setup := new(SetupError); errors.As(err, &setup) {
			continue // it is gone, with all that was known of it
		}
		if err != nil {
			return nil, err
		}
		if !slices.Equal(t.columns, []string{g.column}) {
			out.Unlooked = append(out.Unlooked, g.name)
			continue
		}
		entries, err := purgelog.Search(ctx, conn, proof.RowID(t.root, t.columns, []string{text}), t.root, cfg.hmacKeys())
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out.Entries = append(out.Entries, FoundEntry{e, "key of " + g.name})
		}
	}
	var digests [][]byte
	for _, key := range cfg.hmacKeys() {
		for _, text := range texts {
			digest := proof.SubjectDigest(key, tenant, text)
			digests = append(digests, digest[:])
		}
	}
	entries, err := purgelog.Subject(ctx, conn, digests)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		out.Entries = append(out.Entries, FoundEntry{e, "subject_digest"})
	}
	slices.SortStableFunc(out.Entries, func(a, b FoundEntry) int { return cmp.Compare(a.Entry.Seq, b.Entry.Seq) })
	return out, nil
}

// ExportLog writes the whole purge log into a folder.
func ExportLog(ctx context.Context, cfg Config, dir string, progress func(done, total int64)) (purgelog.Exported, error) {
	conn, err := cfg.audit(ctx)
	if err != nil {
		return purgelog.Exported{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	out, err := purgelog.Export(ctx, conn, dir, progress)
	return out, begun(err)
}
