package sweeper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	signed "golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// signingKey makes a key pair.
func signingKey(t *testing.T) (private, public string) {
	t.Helper()
	private, public, err := proof.GenerateKey("test")
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// kept is a bundle whose log is signed and anchored in a folder.
type kept struct {
	*bundle
	dir             string // the anchor
	private, public string
}

func setupKept(t *testing.T, env ...string) *kept {
	t.Helper()
	k := &kept{dir: filepath.Join(t.TempDir(), "anchor")}
	k.private, k.public = signingKey(t)
	k.bundle = setup(t, events, fiveYear, append([]string{"SWEEPER_ANCHOR_URL=file://" + k.dir, "SWEEPER_SIGNING_KEY=" + k.private}, env...)...)
	return k
}

// with changes the configuration.
func (b *bundle) with(t *testing.T, env ...string) *bundle {
	t.Helper()
	cfg, _, err := sweeper.Load(append([]string{
		"SWEEPER_DATABASE_URL=" + b.cfg.DatabaseURL.Reveal(), "SWEEPER_REPLICATION_URL=" + b.cfg.ReplicationURL.Reveal(),
		"SWEEPER_INSTALL_URL=" + b.cfg.InstallURL.Reveal(), "SWEEPER_SLOT=" + b.cfg.Slot, "SWEEPER_HMAC_KEY=" + key, "SWEEPER_APPROVE=auto",
	}, env...))
	if err != nil {
		t.Fatal(err)
	}
	other := *b
	other.cfg = cfg
	return &other
}

// notes are the notes of the anchor, by origin and name.
func (k *kept) notes(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(k.dir, "*", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// purgeSome has a sweep purge n rows, and verifies the log.
func (b *bundle) purgeSome(t *testing.T, n int) {
	t.Helper()
	b.fill(t, 0, n)
	if o := b.sweep(t)["events"]; o.Deleted != int64(n) {
		t.Fatalf("%+v", o)
	}
}

// declines has a sweep refuse with the error, and delete nothing.
func (b *bundle) declines(t *testing.T, want error, texts ...string) {
	t.Helper()
	b.fill(t, 0, 10)
	log := b.text(t, `select count(*) from sweeper.purge_log`)
	_, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
	t.Log(err)
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
	if got := b.text(t, `select count(*) from app.events`); got != "10" {
		t.Errorf("%s rows are left of 10", got)
	}
	if got := b.text(t, `select count(*) from sweeper.purge_log`); got != log {
		t.Errorf("the log had %s entries and has %s", log, got)
	}
	b.db.Exec(t, `truncate app.events`)
}

// audit holds the log against its checkpoints.
func (b *bundle) audit(t *testing.T, pinned string) sweeper.CheckpointAudit {
	t.Helper()
	found, err := sweeper.AuditCheckpoints(t.Context(), b.cfg, b.log, pinned, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sound expects an audit without problems.
func (b *bundle) sound(t *testing.T, pinned string) sweeper.CheckpointAudit {
	t.Helper()
	found := b.audit(t, pinned)
	for _, p := range found.Problems {
		t.Errorf("audit: %d: %s", p.Seq, p.Text)
	}
	return found
}

// unsound expects a problem with a text.
func (b *bundle) unsound(t *testing.T, pinned, text string) {
	t.Helper()
	found := b.audit(t, pinned)
	if !slices.ContainsFunc(found.Problems, func(p proof.Problem) bool { return strings.Contains(p.Text, text) }) {
		t.Errorf("audit: no problem says %q: %v", text, found.Problems)
	}
}

func (b *bundle) fork(t *testing.T, o sweeper.ForkOptions) (sweeper.Forked, error) {
	t.Helper()
	o.Now, o.Warn = time.Now, func(w string) { t.Errorf("warning: %s", w) }
	return sweeper.Fork(t.Context(), b.cfg, b.log, o)
}

// mustFork forks, after which a sweep works and the log is whole.
func (b *bundle) mustFork(t *testing.T) sweeper.Forked {
	t.Helper()
	done, err := b.fork(t, sweeper.ForkOptions{Actor: "jane", Reason: "test of a fork"})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Why) == 0 {
		t.Error("nothing says why the fork was needed")
	}
	b.purgeSome(t, 7)
	return done
}

func TestSweepAnchorsWhatItLogged(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	k.purgeSome(t, 20)
	notes := k.notes(t)
	if len(notes) != 2 {
		t.Fatalf("the anchor holds %q", notes)
	}
	msg, err := os.ReadFile(notes[1])
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := proof.OpenPublic(k.public)
	if err != nil {
		t.Fatal(err)
	}
	c, err := proof.OpenCheckpoint(msg, verifier)
	if got := fmt.Sprintf("%d %x", c.Size, c.Root); err != nil || got != k.text(t, `select size || ' ' || encode(root, 'hex') from sweeper.log_head`) {
		t.Errorf("the newest checkpoint is %s, error %v", got, err)
	}
	if genesis := k.text(t, `select sweeper.leaf_bytes(l)::text is not null and starts_with($1, 'sweeper/purge-log/' || encode(substr(leaf_hash, 1, 16), 'hex')) and reference like 'hmac key: none -> %; signing key: none -> test+%' from sweeper.purge_log l where seq = 0`, c.Origin); genesis != "true" {
		t.Errorf("origin %s is not named by the genesis entry, or that names no keys", c.Origin)
	}
	found := k.sound(t, k.public)
	if found.Checkpoints != 2 || found.Anchored != 2 || len(found.Warnings) > 0 {
		t.Errorf("%+v", found)
	}
	if got := k.sweep(t)["events"]; got.State != "succeeded" || len(k.notes(t)) != 2 {
		t.Errorf("a run without rows: %+v, the anchor holds %q", got, k.notes(t))
	}
}

// A checkpoint is made while sweeps go on, by several at once, and none of them
// disturbs another.
func TestCheckpointsByManyAtOnce(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				if _, unanchored, err := sweeper.Checkpoint(t.Context(), k.cfg, k.log, time.Now); err != nil || unanchored != nil {
					t.Errorf("%v, %v", err, unanchored)
				}
			}
		})
	}
	k.purgeSome(t, 10)
	wg.Wait()
	k.sound(t, k.public)
}

// copyDatabase makes a copy of the test's database as it is now, as a backup
// does, and the configuration to work with it in place of the original.
func (b *bundle) copyDatabase(t *testing.T) *bundle {
	t.Helper()
	name := b.db.Name + "_bak"
	config, err := pgx.ParseConfig(b.db.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	config.Database = "postgres"
	admin, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, sql string) {
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Errorf("run %q: %v", sql, err)
		}
	}
	run(t.Context(), fmt.Sprintf(`alter database %s allow_connections false`, b.db.Name))
	pgtest.Eventually(t, "nobody uses the database", func() bool {
		return pgtest.QueryOne[int](t, admin, `select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1`, b.db.Name) == 0
	})
	run(t.Context(), fmt.Sprintf(`create database %s template %s`, name, b.db.Name))
	run(t.Context(), fmt.Sprintf(`alter database %s allow_connections true`, b.db.Name))
	b.db.Reconnect()
	b.admin = b.db.Conn(t, "")
	t.Cleanup(func() {
		ctx := context.Background()
		run(ctx, fmt.Sprintf(`alter database %s allow_connections false`, name))
		pgtest.Eventually(t, "the copy has no slot", func() bool {
			_, _ = admin.Exec(ctx, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1 and not active`, name)
			var left int
			return admin.QueryRow(ctx, `select count(*) from pg_replication_slots where database = $1`, name).Scan(&left) == nil && left == 0
		})
		run(ctx, fmt.Sprintf(`drop database %s with (force)`, name))
		_ = admin.Close(ctx)
	})
	url := func(user string) string { return strings.Replace(b.db.URL(user), "/"+b.db.Name, "/"+name, 1) }
	other := *b
	other.db = b.db.Named(name)
	other.cfg.DatabaseURL, other.cfg.ReplicationURL, other.cfg.InstallURL = mustURL(t, url("sweeper_daemon")), mustURL(t, url("sweeper_logger")), mustURL(t, url(""))
	return &other
}

func mustURL(t *testing.T, text string) (u sweeper.URL) {
	t.Helper()
	if err := u.EnvDecode(text); err != nil {
		t.Fatal(err)
	}
	return u
}

// restore puts a backup in the place of the database: same slot, which a backup
// does not have, and so made anew.
func (b *bundle) restore(t *testing.T, backup *bundle) *bundle {
	t.Helper()
	pgtest.Eventually(t, "the slot is free", func() bool {
		_, err := b.admin.Exec(t.Context(), `select pg_drop_replication_slot($1)`, b.cfg.Slot)
		return err == nil
	})
	backup.admin = backup.db.Conn(t, "")
	if _, err := sweeper.Install(t.Context(), backup.cfg, b.log, b.set, false); err != nil {
		t.Fatal(err)
	}
	backup.db.Exec(t, `truncate app.events`)
	return backup
}

// TestRestoredDatabaseIsRefusedUntilForked is row 29 of the attack table: a
// database that is behind its anchor deletes nothing, until somebody says what
// has happened.
func TestRestoredDatabaseIsRefusedUntilForked(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	backup := k.copyDatabase(t)
	k.purgeSome(t, 20)
	k.purgeSome(t, 30)
	r := k.restore(t, backup)
	r.declines(t, sweeper.ErrAnchorBroken, "file://"+k.dir+" holds a checkpoint of 7 entries and the database has 5", "sweeper log fork")
	r.unsound(t, k.public, "holds a checkpoint of 7 entries and the database has 5")
	if _, _, err := sweeper.Checkpoint(t.Context(), r.cfg, r.log, time.Now); !errors.Is(err, sweeper.ErrAnchorBroken) || len(k.notes(t)) != 3 {
		t.Errorf("a checkpoint of it: %v, the anchor holds %q", err, k.notes(t))
	}

	done := r.mustFork(t)
	t.Logf("%+v", done)
	found := r.sound(t, k.public)
	if len(found.Warnings) == 0 || !strings.Contains(strings.Join(found.Warnings, "; "), "speaks of entries that the fork at entry 5 left behind") {
		t.Errorf("%+v", found)
	}
	got := r.text(t, `select string_agg(concat_ws(' ', kind, actor, case kind when 'fork' then concat_ws(' ', reference::jsonb -> 'anchors' -> 0 ->> 'size', reference::jsonb ->> 'reason') else reference end), '; ' order by seq) from sweeper.purge_log where seq between 5 and 7`)
	t.Log(got)
	if !strings.HasPrefix(got, "fork jane 7 test of a fork; gap entries from 5 on that an anchored checkpoint has are not in this database; the log was complete of ") || !strings.HasSuffix(got, "; key_rotation signing key: none -> "+k.public) {
		t.Errorf("the log says %s", got)
	}
	// The database that it was restored from is the one that is refused now.
	if _, err := r.fork(t, sweeper.ForkOptions{Actor: "jane", Reason: "again"}); err == nil || !strings.Contains(err.Error(), "there is nothing to fork") {
		t.Errorf("a second fork: %v", err)
	}
	if _, err := r.fork(t, sweeper.ForkOptions{Actor: "jane", Reason: "again", Force: true}); err != nil {
		t.Errorf("a forced fork: %v", err)
	}
	r.purgeSome(t, 3)
	r.sound(t, k.public)
}

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

// An anchor that cannot be reached when a process starts leaves it open whether
// the database is behind it: nothing goes. One of several is enough for that.
func TestUnreachableAnchorAtTheStart(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	away := k.with(t, "SWEEPER_SIGNING_KEY="+k.private, "SWEEPER_ANCHOR_URL=file://"+k.dir+",file:///no/such/folder/anchor")
	away.declines(t, sweeper.ErrAnchorUnreachable, "file:///no/such/folder/anchor")
	if _, err := sweeper.AuditCheckpoints(t.Context(), away.cfg, away.log, k.public, time.Now); !errors.Is(err, sweeper.ErrAnchorUnreachable) {
		t.Errorf("audit: %v", err)
	}
	k.purgeSome(t, 10)
}

// An anchor that goes away during a sweep is a warning, and the next sweep
// catches up.
func TestAnchorGoesAwayDuringASweep(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	k.db.Exec(t, `create function app.wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4712); return null; end $$;
		create trigger wait before delete on app.events for each statement execute function app.wait()`)
	k.fill(t, 0, 10)
	keeper := k.db.Conn(t, "")
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_lock(4712)::text`)
	var warnings []string
	done := make(chan error, 1)
	go func() {
		_, err := sweeper.Sweep(t.Context(), k.cfg, k.log, k.set, sweeper.SweepOptions{Actor: "test", Now: time.Now, Warn: func(w string) { warnings = append(warnings, w) }})
		done <- err
	}()
	k.until(t, "the sweep is under way", `select exists (select from pg_locks where locktype = 'advisory' and objid = 4712 and not granted)`)
	hidden := k.dir + ".away"
	if err := os.Rename(k.dir, hidden); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pgtest.QueryOne[string](t, keeper, `select pg_advisory_unlock(4712)::text`)
	if err := <-done; err != nil {
		t.Errorf("the sweep: %v", err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "the checkpoint of the purge log is not anchored yet: ") {
		t.Errorf("warnings %q", warnings)
	}
	if err := errors.Join(os.Remove(k.dir), os.Rename(hidden, k.dir)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sweeper.Checkpoint(t.Context(), k.cfg, k.log, time.Now); err != nil || len(k.notes(t)) != 2 {
		t.Errorf("%v, the anchor holds %q", err, k.notes(t))
	}
	k.sound(t, k.public)
}

// TestUnsignedCheckpoints shows what is left without a key: the anchor still
// knows a rewritten log. A key that comes later signs from then on.
func TestUnsignedCheckpoints(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	plain := k.with(t, "SWEEPER_ANCHOR_URL=file://"+k.dir)
	plain.purgeSome(t, 10)
	plain.sound(t, "")
	k.purgeSome(t, 10)
	if got := k.text(t, `select reference from sweeper.purge_log where kind = 'key_rotation'`); got != "signing key: none -> "+k.public {
		t.Errorf("the log says %q", got)
	}
	found := k.sound(t, k.public)
	if found.Checkpoints != 2 || found.Anchored != 2 {
		t.Errorf("%+v", found)
	}
	k.rewrite(t, 1)
	k.unsound(t, k.public, "the first 5 entries are others than in the checkpoint at file://"+k.dir)
}

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	url := "SWEEPER_ANCHOR_URL=file://" + k.dir
	k.purgeSome(t, 10)
	second, secondPublic := signingKey(t)
	_, strangePublic := signingKey(t)
	strange, _ := signingKey(t)

	k.with(t, url, "SWEEPER_SIGNING_KEY="+second).declines(t, purgelog.ErrKey, "write that key behind the new one in SWEEPER_SIGNING_KEY")
	k.with(t, url).declines(t, purgelog.ErrKey, "SWEEPER_SIGNING_KEY is not set")
	k.with(t, url, "SWEEPER_SIGNING_KEY="+strange+","+second).declines(t, purgelog.ErrKey)

	both := k.with(t, url, "SWEEPER_SIGNING_KEY="+second+","+k.private)
	both.purgeSome(t, 10)
	if got := k.text(t, `select reference from sweeper.purge_log where kind = 'key_rotation'`); got != "signing key: "+k.public+" -> "+secondPublic {
		t.Errorf("the log says %q", got)
	}
	if got := k.text(t, `select cardinality(signed_by) from sweeper.checkpoints order by size desc limit 1`); got != "2" {
		t.Errorf("the checkpoint after the change is signed by %s keys", got)
	}
	alone := k.with(t, url, "SWEEPER_SIGNING_KEY="+second)
	alone.purgeSome(t, 10)
	if got := k.text(t, `select cardinality(signed_by) from sweeper.checkpoints order by size desc limit 1`); got != "1" {
		t.Errorf("a later checkpoint is signed by %s keys", got)
	}
	alone.sound(t, k.public)
	alone.sound(t, secondPublic)
	alone.sound(t, "")
	alone.unsound(t, strangePublic, "was never signed with the key that it is verified with")
	k.declines(t, purgelog.ErrKey)

	// A lost key: only a fork begins with another one.
	lost := k.with(t, url, "SWEEPER_SIGNING_KEY="+strange)
	lost.declines(t, purgelog.ErrKey)
	done := lost.mustFork(t)
	if !strings.Contains(done.Why[0], "the log's signing key is not at hand: "+secondPublic) {
		t.Errorf("%q", done.Why)
	}
	lost.sound(t, "")
	lost.unsound(t, k.public, "was never signed with the key that it is verified with")
}

// A change of the signing key that the former key has not signed is a thief's.
func TestForgedRotationIsCaught(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	thief, thiefPublic := signingKey(t)
	// The thief may write the log: he appends the entry that a rotation would.
	confirmed := pgtest.QueryOne[uint64](t, k.admin, `select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where slot_name = $1`, k.db.Slot())
	log, err := purgelog.Open(t.Context(), purgelog.Options{
		URL: k.db.URL("sweeper_logger"), SystemID: k.text(t, `select system_identifier from pg_control_system()`), Slot: k.db.Slot(), Confirmed: confirmed,
		Key: k.cfg.HMACKey.First.Bytes(), Log: slog.New(slog.DiscardHandler), SigningKey: thiefPublic, FormerSigningKey: k.public,
	})
	if err != nil {
		t.Fatal(err)
	}
	log.Close(t.Context())
	his := k.with(t, "SWEEPER_ANCHOR_URL=file://"+k.dir, "SWEEPER_SIGNING_KEY="+thief)
	if _, _, err := sweeper.Checkpoint(t.Context(), his.cfg, his.log, time.Now); err == nil || !strings.Contains(err.Error(), "is signed with the former one too") {
		t.Errorf("a checkpoint with the thief's key alone: %v", err)
	}
	signer, _, err := proof.OpenKey(thief)
	if err != nil {
		t.Fatal(err)
	}
	c := proof.Checkpoint{Origin: k.text(t, `select origin from sweeper.checkpoints`), Size: 6, Root: [32]byte(pgtest.QueryOne[[]byte](t, k.admin, `select root from sweeper.log_head`))}
	msg, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	k.db.Exec(t, `insert into sweeper.checkpoints (origin, size, root, hashes, note, signed_by) select $1, 6, root, hashes, $2, '{test}' from sweeper.log_head`, c.Origin, string(msg))
	k.unsound(t, k.public, "entry 5 says that another signing key took over, and the one before has signed no checkpoint since")
	k.declines(t, purgelog.ErrKey)
}

// A fork that somebody with the database and without the key writes into the log,
// so that what he has rewritten passes for a new log, is refused.
func TestForgedForkIsRefused(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	k.rewrite(t, 1)
	confirmed := pgtest.QueryOne[uint64](t, k.admin, `select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where slot_name = $1`, k.db.Slot())
	former := k.text(t, `select origin from sweeper.checkpoints`)
	err := purgelog.Fork(t.Context(), purgelog.Options{
		URL: k.db.URL("sweeper_logger"), SystemID: k.text(t, `select system_identifier from pg_control_system()`), Slot: k.db.Slot(), Confirmed: confirmed,
		Key: k.cfg.HMACKey.First.Bytes(), Log: slog.New(slog.DiscardHandler), SigningKey: k.public,
	}, "nobody", proof.Fork{Reason: "forged", Origin: former, Anchors: []proof.Behind{}})
	if err != nil {
		t.Fatal(err)
	}
	k.declines(t, sweeper.ErrAnchorBroken, "its entry 5 of 7 says that it was forked, and no checkpoint of that is signed with SWEEPER_SIGNING_KEY")
	k.unsound(t, k.public, "the first 5 entries are others than in the checkpoint at file://"+k.dir)
	k.unsound(t, k.public, "entry 5 says that the log was forked, and no key has signed that")
	k.mustFork(t)
}

func TestHMACKeyIsRotated(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.purgeSome(t, 10)
	other := strings.Repeat("ab", 32)
	fresh := b.with(t)
	cfg, _, err := sweeper.Load([]string{"SWEEPER_HMAC_KEY=" + other + "," + key})
	if err != nil {
		t.Fatal(err)
	}
	fresh.cfg.HMACKey = cfg.HMACKey
	fresh.purgeSome(t, 10)
	want := "hmac key: " + proof.Fingerprint(b.cfg.HMACKey.First.Bytes()) + " -> " + proof.Fingerprint(cfg.HMACKey.First.Bytes())
	if got := b.text(t, `select string_agg(reference, '; ') from sweeper.purge_log where kind = 'key_rotation'`); got != want {
		t.Errorf("the log says %q, want %q", got, want)
	}
	fresh.purgeSome(t, 10)
	if got := b.text(t, `select count(*) from sweeper.purge_log where kind = 'key_rotation'`); got != "1" {
		t.Errorf("the log has %s rotations", got)
	}
}

// TestOtherServerIsAdoptedByAFork has the log come to a server with another
// system identifier, as pg_upgrade makes one.
func TestOtherServerIsAdoptedByAFork(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	k.db.Exec(t, `update sweeper.log_progress set source = '4711/' || slot, system_id = '4711'`)
	k.declines(t, purgelog.ErrForeign, "sweeper log fork")
	done := k.mustFork(t)
	if !strings.Contains(done.Why[0], "belongs to another server or slot") {
		t.Errorf("%q", done.Why)
	}
	k.sound(t, k.public)
	if got := k.text(t, `select count(*) || ' ' || bool_and(system_id <> '4711') from sweeper.log_progress`); got != "1 true" {
		t.Errorf("the progress is %s", got)
	}
	if got := k.text(t, `select reference from sweeper.purge_log where kind = 'gap'`); !strings.HasPrefix(got, "the log was complete of 4711/") || !strings.HasSuffix(got, "what was committed in between was never logged") {
		t.Errorf("the gap says %q", got)
	}
	if got := k.text(t, `select reference::jsonb ->> 'source' from sweeper.purge_log where kind = 'fork'`); !strings.HasPrefix(got, "4711/") {
		t.Errorf("the fork says %q", got)
	}
}
