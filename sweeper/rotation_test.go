package sweeper_test

import (
	"errors"
	"log/slog"
	"path/filepath"
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

// hmac is the bundle with other keys.
func (b *bundle) hmac(t *testing.T, keys string) *bundle {
	t.Helper()
	cfg, _, err := sweeper.Load([]string{"SWEEPER_HMAC_KEY=" + keys})
	if err != nil {
		t.Fatal(err)
	}
	other := *b
	other.cfg.HMACKey = cfg.HMACKey
	return &other
}

// An HMAC key that is not the log's does nothing; only a fork begins with it.
func TestStrangeHMACKeyIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, events, fiveYear)
	b.purgeSome(t, 10)
	state := func() string {
		return b.text(t, `select concat_ws(' ', (select count(*) from sweeper.purge_log), (select count(*) from sweeper.runs), (select count(*) from sweeper.policy_versions), (select count(*) from sweeper.checkpoints))`)
	}
	before, known := state(), proof.Fingerprint(b.cfg.HMACKey.First.Bytes())
	wrong := b.hmac(t, strings.Repeat("ab", 32))
	wrong.set = load(t, fiveYear+"# another version\n")
	says := "that has the fingerprint " + known + ", and what is set has " + proof.Fingerprint(wrong.cfg.HMACKey.First.Bytes())
	wrong.declines(t, purgelog.ErrHMACKey, says, "run: sweeper log fork")
	b.hmac(t, strings.Repeat("ab", 32)+","+strings.Repeat("cd", 32)).declines(t, purgelog.ErrHMACKey)
	cfg := wrong.cfg
	cfg.Policies, cfg.HTTPAddr = filepath.Join(t.TempDir(), "policies.yaml"), sweeper.HTTPOff
	write(t, cfg.Policies, fiveYear)
	if err := sweeper.Run(t.Context(), cfg, b.log, sweeper.RunOptions{Now: time.Now}); !errors.Is(err, purgelog.ErrHMACKey) {
		t.Errorf("a daemon ends with %v", err)
	}
	if _, err := sweeper.Prove(t.Context(), wrong.cfg, sweeper.Proving{Table: "app.events", Key: "1"}); !errors.Is(err, purgelog.ErrHMACKey) {
		t.Errorf("a proof: %v", err)
	}
	if _, err := sweeper.Find(t.Context(), wrong.cfg, "u", ""); !errors.Is(err, purgelog.ErrHMACKey) {
		t.Errorf("a search: %v", err)
	}
	if got := state(); got != before {
		t.Errorf("there was %s and is %s", before, got)
	}

	done := wrong.mustFork(t)
	if len(done.Why) != 1 || !strings.Contains(done.Why[0], "the log's HMAC key is not at hand: the one with the fingerprint "+known) {
		t.Errorf("%q", done.Why)
	}
	if got := b.text(t, `select string_agg(reference, '; ') from sweeper.purge_log where kind = 'key_rotation'`); got != "hmac key: "+known+" -> "+proof.Fingerprint(wrong.cfg.HMACKey.First.Bytes()) {
		t.Errorf("the log says %q", got)
	}
	wrong.sound(t, "")
	b.declines(t, purgelog.ErrHMACKey)
}

// A new key knows no token of the former one, so that rows are redacted once more.
func TestRedactionsAreMadeAgainUnderANewHMACKey(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.people (id bigint primary key, at timestamptz, mail text unique); create index on app.people (at);
		insert into app.people select i, '2010-01-01', 'u' || i from generate_series(1, 5) i`,
		"version: 1\ncategories:\n  people: {table: app.people, start_from: at, redact: {after: P1Y, columns: {mail: {hmac: \"gone-%s\"}}}}\n")
	both := b.hmac(t, strings.Repeat("ab", 32)+","+key)
	var was string
	for i, step := range []struct {
		b    *bundle
		want int64
	}{{b, 5}, {b, 0}, {both, 5}, {both, 0}, {b.hmac(t, strings.Repeat("ab", 32)), 0}} {
		if o := step.b.sweep(t)["people"]; o.Redacted != step.want {
			t.Errorf("sweep %d redacts %d rows, want %d", i+1, o.Redacted, step.want)
		}
		now := b.text(t, `select string_agg(mail, ' ' order by id) from app.people`)
		if (now != was) != (step.want > 0) {
			t.Errorf("sweep %d left %q, which was %q", i+1, now, was)
		}
		was = now
	}
}
