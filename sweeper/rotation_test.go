package sweeper_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

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
