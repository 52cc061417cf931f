package sweeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	signed "golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// rewrite does what a superuser can do: change one entry, and all hashes that
// follow from it, up to the head.
func (b *bundle) rewrite(t *testing.T, seq int64) {
	t.Helper()
	entries, err := purgelog.Tail(t.Context(), b.admin, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b.db.Exec(t, `do $$ declare leaf regclass; begin
		for leaf in select inhrelid from pg_inherits where inhparent in ('sweeper.purge_log'::regclass, 'sweeper.purge_rows'::regclass) union all select 'sweeper.checkpoints'::regclass union all select 'sweeper.checkpoint_anchors'::regclass loop
			execute format('alter table %s disable trigger user', leaf);
		end loop; end $$`)
	tree, chain := &proof.Tree{}, [32]byte{}
	for i := range entries {
		e := &entries[i]
		if e.Seq == seq {
			e.Actor = new(string)
			*e.Actor = "somebody else"
		}
		leaf, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		hash := proof.HashLeaf(leaf)
		tree.Append(hash)
		chain = proof.Chain(chain, hash)
		b.db.Exec(t, `update sweeper.purge_log set actor = $2, leaf_hash = $3, chain_hash = $4 where seq = $1`, e.Seq, e.Actor, hash[:], chain[:])
	}
	root := tree.Root()
	b.db.Exec(t, `update sweeper.log_head set chain_hash = $1, hashes = $2, root = $3`, chain[:], slices.Concat(tree.Hashes()...), root[:])
	b.checkLog(t) // nothing in the database shows it
}

// resign is what a superuser with the signing key adds: checkpoints of the log
// as it is now.
func (k *kept) resign(t *testing.T) {
	t.Helper()
	signer, _, err := proof.OpenKey(k.private)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := k.admin.Query(t.Context(), `select checkpoint_id, origin, size from sweeper.checkpoints`)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		ID     int64
		Origin string
		Size   int64
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		rows, err := k.admin.Query(t.Context(), `select leaf_hash from sweeper.purge_log where seq < $1 order by seq`, r.Size)
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			t.Fatal(err)
		}
		tree := &proof.Tree{}
		for _, h := range hashes {
			tree.Append([32]byte(h))
		}
		c := proof.Checkpoint{Origin: r.Origin, Size: uint64(r.Size), Root: tree.Root()}
		msg, err := c.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		k.db.Exec(t, `update sweeper.checkpoints set root = $2, hashes = $3, note = $4 where checkpoint_id = $1`, r.ID, c.Root[:], slices.Concat(tree.Hashes()...), string(msg))
	}
}

// TestRewrittenLogIsCaughtByItsAnchor has a superuser rewrite an entry with all
// that follows from it, rows 21 to 24 of the attack table: each time he covers
// more of his tracks in the database, and each time the anchor tells.
func TestRewrittenLogIsCaughtByItsAnchor(t *testing.T) {
	t.Parallel()
	for name, cover := range map[string]func(t *testing.T, k *kept){
		"the log alone": func(*testing.T, *kept) {},
		"and the checkpoints without the key": func(t *testing.T, k *kept) {
			t.Helper()
			k.resign(t)
			k.db.Exec(t, `update sweeper.checkpoints set note = overlay(note placing 'AAAA' from length(note) - 20)`)
		},
		"and deletes the later checkpoints": func(t *testing.T, k *kept) {
			t.Helper()
			k.db.Exec(t, `delete from sweeper.checkpoint_anchors; delete from sweeper.checkpoints`)
		},
		"and has the signing key": func(t *testing.T, k *kept) { t.Helper(); k.resign(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setupKept(t)
			k.purgeSome(t, 10)
			k.purgeSome(t, 20)
			k.sound(t, k.public)
			k.rewrite(t, 1)
			cover(t, k)
			k.declines(t, sweeper.ErrAnchorBroken, k.dir, "6 entries", "sweeper log fork")
			k.unsound(t, k.public, "the first 6 entries are others than in the checkpoint at file://"+k.dir)
			done, err := k.fork(t, sweeper.ForkOptions{Actor: "jane", Reason: "rewritten by somebody"})
			if err != nil || len(done.Why) != 1 {
				t.Fatalf("%+v, error %v", done, err)
			}
			k.purgeSome(t, 5)
			// The fork lets the log go on; that it was rewritten stays true.
			k.unsound(t, k.public, "entries are others than in the checkpoint at file://"+k.dir)
		})
	}
}

// Without an anchor the checkpoints in the database tell of a rewritten log as
// long as the key was not at hand.
func TestRewrittenLogIsCaughtByASignature(t *testing.T) {
	t.Parallel()
	private, public := signingKey(t)
	b := setup(t, events, fiveYear, "SWEEPER_SIGNING_KEY="+private)
	b.purgeSome(t, 10)
	b.rewrite(t, 1)
	b.declines(t, sweeper.ErrAnchorBroken, "of the database's 5 entries the first 5, as sweeper.checkpoints has them, and those since do not give log_head.root", "sweeper log fork")
	b.unsound(t, public, "the first 5 entries are others than in the checkpoint at sweeper.checkpoints")
}

// A log that was shortened and signed again with the key is row 23: the anchor
// knows the longer one.
func TestLogCutOffIsCaughtByItsAnchor(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	k.purgeSome(t, 20)
	k.rewrite(t, -1) // disables the guards
	k.db.Exec(t, `delete from sweeper.purge_rows where seq = 5`)
	k.db.Exec(t, `delete from sweeper.purge_log where seq = 5; delete from sweeper.checkpoint_anchors where checkpoint_id = (select max(checkpoint_id) from sweeper.checkpoints);
		delete from sweeper.checkpoints where size = 6; update sweeper.log_head h set size = 5, hashes = c.hashes, root = c.root, chain_hash = (select chain_hash from sweeper.purge_log where seq = 4) from sweeper.checkpoints c`)
	k.checkLog(t)
	k.declines(t, sweeper.ErrAnchorBroken, "holds a checkpoint of 6 entries and the database has 5")
	k.unsound(t, k.public, "holds a checkpoint of 6 entries and the database has 5")
}

// TestLogBegunAnewIsRefused is rows 12 and 28: whoever drops the log, or the
// database, and begins with a clean one, has the anchor against him.
func TestLogBegunAnewIsRefused(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	k.db.Exec(t, `select pg_drop_replication_slot($1)`, k.db.Slot())
	k.db.Exec(t, `drop schema sweeper cascade`)
	k.db.Exec(t, `drop publication if exists sweeper, sweeper_redact, sweeper_stamp`)
	k.admin = k.db.Conn(t, "")
	if _, err := sweeper.Install(t.Context(), k.cfg, k.log, k.set, false); err != nil {
		t.Fatal(err)
	}
	k.declines(t, sweeper.ErrAnchorBroken, "file://"+k.dir+" holds a checkpoint of 5 entries of log sweeper/purge-log/", "which this database with its 0 entries never was")
	k.unsound(t, k.public, "which this database never was")
	k.mustFork(t)
	k.sound(t, k.public)
	if got := k.text(t, `select string_agg(kind, ' ' order by seq) from sweeper.purge_log where kind not in ('gap', 'truncate', 'coverage')`); got != "genesis fork key_rotation delete" {
		t.Errorf("the log has %s", got)
	}
}

// TestAnchorThatLostACheckpoint is row 32: what was kept at an anchor is gone or
// not what it was.
func TestAnchorThatLostACheckpoint(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"gone": os.Remove,
		"altered": func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.Remove(path)
			}
			if err != nil {
				return err
			}
			return os.WriteFile(path, bytes.Replace(b, []byte("\n5\n"), []byte("\n4\n"), 1), 0o600)
		},
		"emptied": func(path string) error {
			return os.RemoveAll(filepath.Dir(path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setupKept(t)
			k.purgeSome(t, 10)
			if err := harm(k.notes(t)[0]); err != nil {
				t.Fatal(err)
			}
			k.declines(t, sweeper.ErrAnchorBroken, "held a checkpoint of 5 entries and has it no more, or not as it was, beside 5 entries in the database")
			k.unsound(t, k.public, "held the checkpoint of 5 entries and has it no more")
			if name != "altered" {
				k.mustFork(t)
			}
		})
	}
}

// TestForgedCheckpointCountsForNothing is row 33: whoever may write to the
// anchor can neither stop the sweeper nor have it believe anything.
func TestForgedCheckpointCountsForNothing(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	thief, _ := signingKey(t)
	signer, _, err := proof.OpenKey(thief)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Dir(k.notes(t)[0])
	origin := "sweeper/purge-log/" + filepath.Base(own)
	forge := func(origin string, size uint64, signers ...signed.Signer) {
		c := proof.Checkpoint{Origin: origin, Size: size, Root: [32]byte{1}}
		msg, err := c.Sign(signers...)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(k.dir, origin[len("sweeper/purge-log/"):], fmt.Sprintf("%020d.txt", size))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, msg, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forge(origin, 100, signer)
	forge(origin, 101)
	forge(proof.Origin([32]byte{9}), 5, signer)
	var out buffer
	k.log = logTo(&out)
	k.purgeSome(t, 10)
	if !strings.Contains(out.String(), "a checkpoint counts for nothing: no known key has signed it") {
		t.Errorf("the log of the process says %s", &out)
	}
	if found := k.sound(t, k.public); len(found.Warnings) != 3 {
		t.Errorf("%q", found.Warnings)
	}
}

// TestStolenKeyIsCaughtAsEquivocation is row 24: somebody with the key signs
// another log and puts it where ours would go.
func TestStolenKeyIsCaughtAsEquivocation(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	signer, _, err := proof.OpenKey(k.private)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Dir(k.notes(t)[0])
	c := proof.Checkpoint{Origin: "sweeper/purge-log/" + filepath.Base(own), Size: 6, Root: [32]byte{1}}
	msg, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	k.fill(t, 0, 10)
	k.db.Exec(t, `delete from app.events`)
	// It comes between the look at the start and the checkpoint at the end.
	k.db.Exec(t, `insert into app.events values (1, '2010-01-01', 'u')`)
	forged := filepath.Join(own, "00000000000000000007.txt")
	if err := os.WriteFile(forged, msg, 0o600); err != nil { // under another size than it says: counts for nothing
		t.Fatal(err)
	}
	if _, err := sweeper.Sweep(t.Context(), k.cfg, k.log, k.set, sweeper.SweepOptions{Actor: "test", Now: time.Now}); !errors.Is(err, sweeper.ErrAnchorBroken) {
		t.Errorf("a place that is taken: %v", err)
	}
	if err := os.WriteFile(filepath.Join(own, "00000000000000000006.txt"), msg, 0o600); err != nil {
		t.Fatal(err)
	}
	k.declines(t, sweeper.ErrAnchorBroken, "the first 6 entries are others than in the checkpoint at file://"+k.dir)
	k.unsound(t, k.public, "the first 6 entries are others than in the checkpoint at file://"+k.dir)
}
