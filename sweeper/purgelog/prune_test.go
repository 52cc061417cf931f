package purgelog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// oldLog is a log that began in January 2015: each month up to December 2016 has
// some entries, every second of them with one or two row commitments, and the partitions
// that the log's writer would have made. It returns the number of entries, and of
// those before each month.
func oldLog(t *testing.T, b *bundle, r *rand.Rand) (n int64, before map[string]int64) {
	t.Helper()
	b.db.Exec(t, `set timezone = 'UTC'; do $$ declare m timestamp; p text; begin
		for m in select generate_series(timestamp '2015-01-01', timestamp '2016-12-01', interval '1 month') loop
			foreach p in array array['purge_log', 'purge_rows'] loop
				execute format('create table sweeper.%s_%s partition of sweeper.%s for values from (%L) to (%L)', p, to_char(m, 'YYYY_MM'), p, m, m + interval '1 month');
			end loop;
		end loop;
	end $$`)
	var tree proof.Tree
	var chain [32]byte
	committer := proof.NewCommitter(key)
	before = map[string]int64{}
	add := func(e proof.Entry, rows ...string) {
		e.Seq = n
		var parts []byte
		if rows != nil {
			var root proof.Rows
			for _, text := range rows {
				c := committer.Commit(proof.RowID("app.t", []string{"id"}, []string{text}))
				root.Add(c)
				parts = append(parts, c[:]...)
			}
			sum, count, relation := root.Root(), root.Count(), "app.t"
			e.RowsRoot, e.RowCount, e.Relation = sum[:], &count, &relation
		}
		leaf, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		hash := proof.HashLeaf(leaf)
		tree.Append(hash)
		chain = proof.Chain(chain, hash)
		b.db.Exec(t, `insert into sweeper.purge_log (seq, logged_at, committed_at, commit_lsn, source, kind, relation, row_count, rows_root, leaf_hash, chain_hash)
			values ($1, $2, $3, '0/0', $4, $5, $6, $7, $8, $9, $10)`, e.Seq, e.LoggedAt, e.CommittedAt, e.Source, e.Kind, e.Relation, e.RowCount, e.RowsRoot, hash[:], chain[:])
		if parts != nil {
			b.db.Exec(t, `insert into sweeper.purge_rows values ($1, $2, 0, $3)`, e.Seq, e.LoggedAt, parts)
		}
		n++
	}
	for month := range 24 {
		first := time.Date(2015, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC)
		before[first.Format("2006-01")] = n
		for i := range r.IntN(4) {
			at := first.Add(time.Duration(i) * time.Hour) // the first of them at the very beginning
			e := proof.Entry{LoggedAt: at, CommittedAt: &at, Source: "7/s", Kind: "delete"}
			switch {
			case n == 0:
				e.Kind = proof.KindGenesis
				add(e)
			case n%4 == 3:
				add(e, fmt.Sprint(n)) // as evidence: row has them
			case n%2 == 1:
				add(e, fmt.Sprint(n), fmt.Sprint(n, "b"))
			default:
				add(e)
			}
		}
	}
	root := tree.Root()
	b.db.Exec(t, `insert into sweeper.log_head (size, chain_hash, hashes, root, updated_at) values ($1, $2, $3, $4, '2016-12-31')`, n, chain[:], slices.Concat(tree.Hashes()...), root[:])
	b.db.Exec(t, `insert into sweeper.log_progress (source, system_id, slot, applied_lsn, updated_at) values ('7/s', '7', 's', '1/1000', now())`)
	return n, before
}

func sevenYears(before *time.Time) purgelog.Pruning {
	return purgelog.Pruning{Retention: "7 years", Label: "P7Y", Before: before, Actor: "dpo", Reason: "their time is over"}
}

// pruneUntil prunes what is before a month and tells how many entries went.
func (b *bundle) pruneUntil(t *testing.T, log *purgelog.Log, before *time.Time) int64 {
	t.Helper()
	c, err := purgelog.Prunable(t.Context(), b.admin, sevenYears(before))
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		return 0
	}
	if err := log.Prune(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c.Entries
}

// TestPrunedLogVerifiesAndProves prunes logs at random months, one after the
// other, and checks all that is left each time: in Go, in SQL, as an export, and
// row by row against an older checkpoint.
func TestPrunedLogVerifiesAndProves(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 9))
			b := setup(t)
			n, before := oldLog(t, b, r)
			b.whole(t)
			head := proof.Checkpoint{Origin: b.origin(t), Size: uint64(n), Root: [32]byte(pgtest.QueryOne[[]byte](t, b.admin, `select root from sweeper.log_head`))}
			log := b.open(t, begins)
			gone, month := int64(0), 0
			for month < 23 {
				month += 1 + r.IntN(8)
				until := time.Date(2015, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC)
				due, known := before[until.Format("2006-01")]
				if !known {
					due = n
				}
				within := until.AddDate(0, 0, r.IntN(28)) // a month is whole or stays
				if got := b.pruneUntil(t, log, &within); got != due-gone {
					t.Fatalf("before %s: %d entries went, want %d", until.Format("2006-01"), got, due-gone)
				}
				gone = due
				b.whole(t)
				b.proves(t, gone, n, head)
				appended(t, log, committed(uint32(month+100), uint64(begins+0x100*(month+1)), deleted(1_000_000+month*10, 3)))
				flushed(t, log, uint64(begins+0x100*(month+1)+0x30))
				b.whole(t)
			}
			if got := b.text(t, `select count(*) from pg_inherits where inhparent = 'sweeper.purge_log'::regclass and inhrelid::regclass::text ~ '_201[56]_'`); month > 23 && got != "0" {
				t.Errorf("%s partitions are left", got)
			}
		})
	}
}

func (b *bundle) origin(t *testing.T) string {
	t.Helper()
	origin, err := purgelog.OriginAt(t.Context(), b.admin, 1)
	if err != nil {
		t.Fatal(err)
	}
	return origin
}

// proves exports the log, and proves each surviving row of the old log, and that
// the log continues a checkpoint made before anything was pruned.
func (b *bundle) proves(t *testing.T, gone, n int64, older proof.Checkpoint) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "export")
	out, err := purgelog.Export(t.Context(), b.admin, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := proof.VerifyExport(os.DirFS(dir), proof.Offline{Older: &older})
	if err != nil || report.Problems != nil || report.First != gone || report.Entries != out.Entries {
		t.Errorf("%d entries are gone: %+v %v", gone, report, err)
	}
	for seq := int64(1); seq < n; seq += 2 {
		d, found, err := purgelog.Prove(t.Context(), b.admin, purgelog.Wanted{
			Row: &proof.DocumentRow{Relation: "app.t", Columns: []string{"id"}, Key: []string{fmt.Sprint(seq)}}, Keys: [][]byte{[]byte("another key of thirty-two bytes!"), key}, Older: []byte(older.Text()),
		})
		if err != nil {
			t.Fatal(err)
		}
		if seq < gone {
			if d != nil {
				t.Errorf("entry %d is pruned and proved", seq)
			}
			continue
		}
		proved, err := d.Verify()
		if err != nil || len(found) != 1 || proved.Entries[0].Seq != seq || proved.Older.Size != uint64(n) || proved.Checkpoint.Origin != older.Origin {
			t.Errorf("%d entries are gone: entry %d: %+v %v", gone, seq, proved, err)
		}
	}
}

// TestPruneRefuses has the logger, who may call the function, try what nobody
// may; and a log that does not verify. Row 35 of the table of attacks.
func TestPruneRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, before := oldLog(t, b, rand.New(rand.NewPCG(1, 1)))
	logger := b.db.Conn(t, "sweeper_logger")
	size := before["2015-07"]
	var tree proof.Tree
	entries, err := purgelog.Tail(t.Context(), b.admin, int(n))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries[:size] {
		tree.Append([32]byte(e.LeafHash))
	}
	p := proof.Prune{Size: size, ChainHash: entries[size-1].ChainHash, Hashes: slices.Concat(tree.Hashes()...), EntrySeq: n, Origin: b.origin(t)}
	said := func(p proof.Prune, rows int64) {
		t.Helper()
		reference := p.Reference("no")
		if _, err := logger.Exec(t.Context(), `insert into sweeper.purge_log (seq, logged_at, commit_lsn, source, kind, reference, row_count, leaf_hash, chain_hash)
			values ($1, now(), '0/0', 's', 'log_prune', $2, $3, sha256(''), sha256(''))`, n, reference, rows); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, until, want string
		change            func(p *proof.Prune)
		rows              int64
	}{
		{"NULL", "2015-07-01", "chain_hash must not be NULL", func(p *proof.Prune) { p.ChainHash = nil }, size},
		{"a month that is young", time.Now().AddDate(-6, 0, 0).Format("2006-01") + "-01", "kept for seven years", func(*proof.Prune) {}, size},
		{"in the middle of a month", "2015-07-02", "beginning of a month", func(*proof.Prune) {}, size},
		{"another month", "2015-12-01", "and nothing else", func(*proof.Prune) {}, size},
		{"more entries", "2015-07-01", "and nothing else", func(p *proof.Prune) { p.Size++ }, size + 1},
		{"another chain", "2015-07-01", "are not those of", func(p *proof.Prune) { p.ChainHash = make([]byte, 32) }, size},
		{"half an edge", "2015-07-01", "are not those of", func(p *proof.Prune) { p.Hashes = p.Hashes[32:] }, size},
		{"an entry that says another number", "2015-07-01", "does not tell", func(*proof.Prune) {}, size - 1},
		{"an entry that is not there", "2015-07-01", "does not tell", func(p *proof.Prune) { p.EntrySeq++ }, size},
	} {
		if _, err := logger.Exec(t.Context(), "begin"); err != nil {
			t.Fatal(err)
		}
		one := p
		c.change(&one)
		said(one, c.rows)
		_, err := logger.Exec(t.Context(), `select sweeper.prune_log($1, $2, $3, $4, $5::timestamptz)`, one.Size, one.ChainHash, one.Hashes, one.EntrySeq, c.until+" 00:00:00+00")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if _, err := logger.Exec(t.Context(), "rollback"); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range []string{"sweeper_daemon", "sweeper_auditor"} {
		if got := b.text(t, `select has_function_privilege($1, 'sweeper.prune_log(bigint, bytea, bytea, bigint, timestamptz)', 'execute')`, role); got != "false" {
			t.Errorf("%s may prune", role)
		}
	}
	b.whole(t)

	// What does not verify stays: a row, a commitment, a checkpoint.
	until := time.Date(2015, 7, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ tamper, mend string }{
		{`update sweeper.purge_log set xid = 5 where seq = 2`, `update sweeper.purge_log set xid = null where seq = 2`},
		{`update sweeper.purge_rows set commitments = commitments || sha256('') where seq = 1`, `update sweeper.purge_rows set commitments = substr(commitments, 1, 64) where seq = 1`},
		{fmt.Sprintf(`insert into sweeper.checkpoints (origin, size, root, hashes, note, signed_by) values ('o', %d, sha256(''), '', E'%s', '{}')`, n, strings.ReplaceAll(proof.Checkpoint{Origin: "o", Size: uint64(n)}.Text(), "\n", `\n`)), `delete from sweeper.checkpoints`},
	} {
		b.db.Exec(t, unguarded)
		b.db.Exec(t, c.tamper)
		if got, err := purgelog.Prunable(t.Context(), b.admin, sevenYears(&until)); !errors.Is(err, purgelog.ErrUnsound) {
			t.Errorf("%s: %+v %v", c.tamper, got, err)
		}
		b.db.Exec(t, c.mend)
	}
	// Of what stays, only the stored hashes are looked at: that is verify's.
	if c, err := purgelog.Prunable(t.Context(), b.admin, sevenYears(&until)); err != nil || c == nil || c.Entries != size {
		t.Errorf("a log that was mended: %+v %v", c, err)
	}
}

// TestPruneBesideAReader: a reader of the log makes the prune wait, and then fail
// whole; the log goes on.
func TestPruneBesideAReader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, _ := oldLog(t, b, rand.New(rand.NewPCG(2, 2)))
	log := b.open(t, begins)
	c, err := purgelog.Prunable(t.Context(), b.admin, sevenYears(nil))
	if err != nil || c == nil || c.Entries != n {
		t.Fatalf("%+v %v", c, err)
	}
	reader := b.db.Conn(t, "")
	if _, err := reader.Exec(t.Context(), `begin; select count(*) from sweeper.purge_log`); err != nil {
		t.Fatal(err)
	}
	if err := log.Prune(t.Context(), c); err == nil {
		t.Error("pruned under a reader")
	}
	if _, err := reader.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	b.whole(t)
	appended(t, log, committed(11, begins+0x100, deleted(1, 5)))
	flushed(t, log, begins+0x130)
	if err := log.Prune(t.Context(), c); err != nil {
		t.Error(err)
	}
	b.whole(t)
	if got, want := b.entries(t), fmt.Sprintf("key_rotation hmac key: none -> 2ba7a23f9c267b95; delete out_of_policy app.t 5; log_prune %d their time is over; pruned: entries 0 to %d, the months before ", n, n-1); !strings.HasPrefix(got, want) {
		t.Errorf("the log has %s", got)
	}
	if err := log.Prune(t.Context(), c); err == nil {
		t.Error("pruned twice")
	}
	b.whole(t)
}

// TestForgedPruneIsFound changes the record of a prune. Row 36 of the table of
// attacks.
func TestForgedPruneIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	oldLog(t, b, rand.New(rand.NewPCG(3, 3)))
	log := b.open(t, begins)
	b.pruneUntil(t, log, nil)
	appended(t, log, committed(11, begins+0x100, deleted(1, 5)))
	flushed(t, log, begins+0x130)
	log.Close(t.Context())
	b.whole(t)
	b.db.Exec(t, unguarded)
	for _, c := range []struct{ tamper, want string }{
		{`update sweeper.log_prunes set hashes = sha256('') || substr(hashes, 33)`, "log_prunes is not what this entry says of the prune"},
		{`update sweeper.log_prunes set hashes = hashes || sha256('')`, "log_prunes is not what this entry says of the prune"},
		{`update sweeper.log_prunes set chain_hash = sha256('')`, "chain_hash does not follow from the entry before"},
		{`update sweeper.log_prunes set size = size + 1, hashes = (select string_agg(sha256(''), '') from generate_series(1, length(replace(((size + 1)::bit(64))::text, '0', ''))))`, "stands before entry"},
		{`update sweeper.log_prunes set entry_seq = entry_seq + 1`, "log_prunes names this entry, which is none of a prune"},
		{`update sweeper.log_prunes set entry_seq = 99999`, "log_prunes names this entry, which is not there"},
		{`delete from sweeper.log_prunes`, "are missing"},
	} {
		b.db.Exec(t, `create table public.kept as table sweeper.log_prunes`)
		b.db.Exec(t, c.tamper)
		v, err := purgelog.Verify(t.Context(), b.admin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(v.Problems); !strings.Contains(text, c.want) {
			t.Errorf("%s: found %s", c.tamper, text)
		}
		if got := b.text(t, `select string_agg(problem, '; ') from sweeper.verify_chain()`); !strings.Contains(got, c.want) {
			t.Errorf("%s: verify_chain finds %s", c.tamper, got)
		}
		b.db.Exec(t, `delete from sweeper.log_prunes; insert into sweeper.log_prunes table public.kept; drop table public.kept`)
	}
	b.whole(t)
}
