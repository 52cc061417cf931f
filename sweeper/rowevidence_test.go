package sweeper_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// single is what entries of single rows look like: whole where it gives "".
const single = `select string_agg(concat_ws(' ', p.seq, p.kind, p.relation, p.row_count), ', ')
	from sweeper.purge_log p where category = $1 and kind in ('delete', 'redact')
	 and (row_count <> 1 or rows_root is null or (select string_agg(part || ' ' || length(commitments), ', ') from sweeper.purge_rows r where r.seq = p.seq) is distinct from '0 32')`

// TestRowEvidence follows rows all the way from a policy with evidence: row:
// each one that an independent reader of the write-ahead log saw go has an entry
// of its own, with its commitment, and can be proved.
func TestRowEvidence(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		create table app.events (id bigint primary key, at timestamptz, tenant text, who text);
		create index on app.events (at);
		insert into app.events select i, now() - i * interval '1 hour', 't' || i % 3, 'u' || i % 100 from generate_series(1, 14000) i`, `
version: 1
categories:
  events: {basis: contract, table: app.events, subject: who, tenant: tenant, start_from: at, delete: {after: P365D}, evidence: row}
`, "SWEEPER_BATCH_ROWS=3000")
	truth := pgtest.Truth(t, b.db)
	o := b.sweep(t)["events"]
	if o.State != purge.Succeeded || o.Deleted < 5000 || o.Remaining != 0 {
		t.Fatalf("%+v", o)
	}
	secret, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	committer := proof.NewCommitter(secret)
	gone := map[[32]byte]int{}
	for _, line := range truth.Changes(t) {
		if rest, ok := strings.CutPrefix(line, "table app.events: DELETE: id[bigint]:"); ok {
			gone[committer.Commit(proof.RowID("app.events", []string{"id"}, []string{strings.TrimSpace(rest)}))]++
		}
	}
	logged := pgtest.LogCommitments(t, b.admin, `l.kind = 'delete' and l.row_count = 1`)
	if int64(len(gone)) != o.Deleted || len(logged) != len(gone) {
		t.Errorf("%d rows were deleted, another reader saw %d, the log has %d in entries of their own", o.Deleted, len(gone), len(logged))
	}
	for c, n := range gone {
		if n != 1 || logged[c] != 1 {
			t.Fatalf("a row went %d times and stands in %d entries", n, logged[c])
		}
	}
	if got := b.text(t, single, "events"); got != "" {
		t.Errorf("not entries of one row: %s", got)
	}
	if got := b.text(t, `select count(*) filter (where reason = 'manual' and relation = 'app.events' and partition is null and basis = 'contract' and actor = 'test' and cutoff is not null
		and policy_sha256 is not null and xid is not null and run_id is not null) || ' ' || (count(distinct xid) between 2 and 100) from sweeper.purge_log where kind = 'delete'`); got != fmt.Sprint(o.Deleted, " true") {
		t.Errorf("entries with all that a batch's has, in a few transactions: %s of %d", got, o.Deleted)
	}
	if got := b.text(t, `select sum(rows_deleted) from sweeper.purges where category = 'events'`); got != fmt.Sprint(o.Deleted) {
		t.Errorf("purges has %s rows", got)
	}

	for _, id := range []string{"8761", "11000", "14000"} {
		p, err := sweeper.Prove(t.Context(), b.cfg, sweeper.Proving{Table: "app.events", Key: id})
		if err != nil || p.Document == nil || len(p.Entries) != 1 || *p.Entries[0].RowCount != 1 {
			t.Fatalf("prove row %s: %+v %v", id, p, err)
		}
		if proved, err := p.Document.Verify(); err != nil || len(proved.Entries) != 1 || *proved.Entries[0].RowCount != 1 {
			t.Errorf("the proof of row %s: %+v %v", id, proved, err)
		}
	}
	if p, err := sweeper.Prove(t.Context(), b.cfg, sweeper.Proving{Table: "app.events", Key: "8000"}); err != nil || p.Document != nil {
		t.Errorf("a row that is there has a proof: %+v %v", p, err)
	}
	if again := b.sweep(t)["events"]; again.Deleted > 1 {
		t.Errorf("a second sweep: %+v", again)
	}
}

// TestRowEvidenceOfFamilies has both passes over a table, and with each all that
// may become of rows of other tables.
func TestRowEvidenceOfFamilies(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		create table app.people (id int primary key, at timestamptz, name text, org text); create index on app.people (at);
		create table app.papers (id int primary key, person int references app.people on delete cascade, body text); create index on app.papers (person);
		create table app.pages (id int primary key, paper int references app.papers); create index on app.pages (paper);
		create table app.reviews (id int primary key, person int references app.people on delete set null); create index on app.reviews (person);
		create table app.homes (id int primary key, person int, street text); create index on app.homes (person);
		insert into app.people select i, case when i <= 30 then now() - interval '2 years' when i <= 70 then now() - interval '1 month' else now() end, 'n' || i, 'o' || i % 2 from generate_series(1, 90) i;
		insert into app.papers select i, 1 + i % 90, 'x' from generate_series(0, 899) i;
		insert into app.pages select i, i % 900 from generate_series(0, 1799) i;
		insert into app.reviews select i, 1 + i % 90 from generate_series(0, 179) i;
		insert into app.homes select i, 1 + i % 90, 's' || i from generate_series(0, 89) i`, `
version: 1
categories:
  people:
    table: app.people
    tenant: org
    start_from: at
    redact: {after: P14D, columns: {name: "null"}}
    delete: {after: P1Y}
    evidence: row
    children:
      - {table: app.papers, match: {person: id}, children: [{table: app.pages, match: {paper: id}}]}
      - {table: app.reviews, match: {person: id}, action: nullify}
      - {table: app.homes, match: {person: id}, on: redact, action: redact, columns: {street: zero}}
`, "SWEEPER_BATCH_ROWS=500")
	truth := pgtest.Truth(t, b.db)
	o := b.sweep(t)["people"]
	if o.State != purge.Succeeded || o.Deleted != 30 || o.Redacted != 40 || o.Children != 300+600+60+40 {
		t.Fatalf("%+v", o)
	}
	const want = "homes UPDATE 40, pages DELETE 600, papers DELETE 300, people DELETE 30, people UPDATE 40, reviews UPDATE 60"
	if saw, has := witnessed(t, truth), b.logged(t); saw != want || has != want {
		t.Errorf("another reader saw %s\nthe log has          %s\nwant                 %s", saw, has, want)
	}
	if got := b.text(t, single, "people"); got != "" {
		t.Errorf("not entries of one row: %s", got)
	}
	if got := b.text(t, `select count(*) from sweeper.purge_log where category = 'people' and kind in ('delete', 'redact')`); got != "1070" {
		t.Errorf("%s entries", got)
	}
	columns := b.text(t, `select string_agg(distinct concat_ws(' ', relation, array_to_string(columns, ',')), ', ') from sweeper.purge_log where kind = 'redact'`)
	if columns != "app.homes street, app.people name, app.reviews person" {
		t.Errorf("redacted are %s", columns)
	}
	b.commitments(t, "app.pages", "id", "1")
	b.commitments(t, "app.homes", "id", "69")

	// The second pass over rows that had the first: two entries, by one commitment.
	b.db.Exec(t, `update app.people set at = at - interval '1 year' where id = 50`)
	b.sweep(t)
	p, err := sweeper.Prove(t.Context(), b.cfg, sweeper.Proving{Table: "app.people", Key: "50"})
	if err != nil || len(p.Entries) != 2 || p.Entries[0].Kind != "redact" || p.Entries[1].Kind != "delete" {
		t.Errorf("both passes: %+v %v", p, err)
	}
}

// TestMixedEvidence sweeps categories of both kinds at once, one with partitions
// that go whole, and has a trigger delete from a table that no stamp names.
func TestMixedEvidence(t *testing.T) {
	t.Parallel()
	b := setup(t, partitioned+`;
		create table app.rows (id int primary key, at timestamptz, who text);
		create table app.batches (id int primary key, at timestamptz, who text);
		create table app.kids (id int primary key, row int references app.rows, at timestamptz); create index on app.kids (row);
		create table app.other (id int primary key, at timestamptz);
		create function app.also() returns trigger language plpgsql security definer as 'begin delete from app.other where id = old.id; return null; end';
		create trigger also after delete on app.rows for each row when (old.id <= 3) execute function app.also();
		insert into app.rows select i, '2015-01-01', 'u' from generate_series(1, 50) i;
		insert into app.batches select i, '2015-01-01', 'u' from generate_series(1, 50) i;
		insert into app.kids select i, i, '2015-01-01' from generate_series(1, 50) i;
		insert into app.other select i, now() from generate_series(1, 50) i`, `
version: 1
categories:
  rows: {table: app.rows, subject: who, start_from: at, delete: {after: P5Y}, evidence: row, children: [{table: app.kids, match: {row: id}}]}
  batches: {table: app.batches, subject: who, start_from: at, delete: {after: P5Y}}
  kids: {table: app.kids, start_from: at, delete: {after: P1Y}, where: [{column: id, op: gt, value: 1000}]}
  other: {table: app.other, start_from: at, delete: {after: P5Y}}
  shots: {table: app.shots, subject: who, start_from: at, delete: {after: P1Y}, evidence: row, manifest: digest}
`)
	b.db.Exec(t, `grant shots_owner to sweeper_owner`)
	b.db.Exec(t, `select sweeper.apply_hold('held', 'case', 'test')`)
	outcomes, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), "mismatch") { // of what the trigger did
		t.Errorf("the sweep ended with %v", err)
	}
	pgtest.CheckLog(t, b.admin)
	got := b.text(t, `select string_agg(what, '; ' order by what) from (select concat_ws(' ', coalesce(category, reason), kind, relation, sum(row_count), 'in', count(*)) as what
		from sweeper.purge_log where kind in ('delete', 'mismatch') and relation <> 'app.shots' group by category, reason, kind, relation) x`)
	const want = "batches delete app.batches 50 in 1; out_of_policy delete app.other 3 in 3; rows delete app.kids 50 in 50; rows delete app.rows 50 in 50; rows mismatch app.other 3 in 1"
	if got != want {
		t.Errorf("the log has %s\nwant        %s", got, want)
	}
	for _, o := range outcomes {
		if o.Category == "shots" && (o.PartitionsDropped < 5 || o.Deleted <= 100*o.PartitionsDropped) {
			t.Errorf("partitions that go whole, and rows of those that stay: %+v", o)
		}
	}
	shots := b.text(t, `select string_agg(what, '; ' order by what) from (select concat_ws(' ', kind, case when row_count = 1 then 'of one row' else 'of many' end, case when rows_root is null then 'without a root' end,
		case when count(*) > count(distinct partition) then 'more than one for a partition' end) as what
		from sweeper.purge_log where relation = 'app.shots' and kind in ('drop_partition', 'delete') group by kind, row_count = 1, rows_root is null) x`)
	if shots != "delete of one row more than one for a partition; drop_partition of many" {
		t.Errorf("of partitions that go whole, and of rows of those that stay, the log has: %s", shots)
	}
	if sum := b.text(t, `select (select sum(rows_deleted) from sweeper.purges where category = 'shots') = sum(row_count) from sweeper.purge_log where category = 'shots' and kind in ('drop_partition', 'delete')`); sum != "true" {
		t.Error("purges and log differ")
	}
}

// TestRowEvidenceInAGap has rows with an entry each before a gap, in it and
// behind it: what is in the log is not reported again, and what is not is one
// entry of the gap.
func TestRowEvidenceInAGap(t *testing.T) {
	t.Parallel()
	b := setup(t, events, strings.Replace(fiveYear, "delete:", "evidence: row, delete:", 1))
	byRow := func(from, to int) string {
		return strings.Replace(strings.Replace(batch(from, to), "policy_sha256)", "policy_sha256, evidence)", 1), "policy_sha256 from", "policy_sha256, 'row' from", 1)
	}
	b.sweep(t)
	b.fill(t, 0, 100)
	b.db.Exec(t, byRow(0, 5))
	b.sweep(t) // which purges the rest
	b.fill(t, 0, 100)
	b.db.Exec(t, byRow(5, 35))
	b.db.Exec(t, `select pg_replication_slot_advance($1, pg_current_wal_lsn())`, b.db.Slot())
	b.db.Exec(t, byRow(35, 38)+runEnd)
	b.sweep(t)
	got := b.text(t, `select string_agg(what, '; ' order by what) from (select concat_ws(' ', kind, row_count, 'in', count(*), reference) as what from sweeper.purge_log where run_id = $1 group by kind, row_count, reference) x`, byHand)
	const want = "delete 1 in 8; gap 30 in 1 delete: reported by the batches, not witnessed in the write-ahead log"
	if got != want {
		t.Errorf("the log has %s\nwant        %s", got, want)
	}
	if got := b.text(t, `select string_agg(rows_deleted::text, ', ') from sweeper.purges where run_id = $1`, byHand); got != "38" {
		t.Errorf("the run's summary is %s", got)
	}
	if got := b.text(t, `select count(*) from sweeper.purge_log where kind = 'gap' and run_id <> $1`, byHand); got != "0" {
		t.Errorf("%s reports of rows that were logged are said again", got)
	}
	b.checkLog(t)
}
