package sweeper_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
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

// TestLogThatNobodySignedIsUnsound: a log that was written anew names a public
// key as well as any other, and has no signature.
func TestLogThatNobodySignedIsUnsound(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	k.sound(t, k.public)
	alone := k.with(t, "SWEEPER_SIGNING_KEY="+k.private)
	alone.sound(t, k.public)
	alone.db.Exec(t, `alter table sweeper.checkpoints disable trigger user; alter table sweeper.checkpoint_anchors disable trigger user; delete from sweeper.checkpoint_anchors; delete from sweeper.checkpoints`)
	alone.unsound(t, k.public, "no checkpoint of the log ")
	plain := setup(t, events, fiveYear)
	plain.purgeSome(t, 10)
	plain.unsound(t, k.public, "names no signing key, and no checkpoint of it is signed")
	plain.sound(t, "")
}
