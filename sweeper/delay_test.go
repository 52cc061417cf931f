package sweeper_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

const aheadSQL = `select p.applied_lsn > s.confirmed_flush_lsn from sweeper.log_progress p join pg_replication_slots s on s.slot_name = p.slot`

// TestConfirmDelayHoldsTheSlotBack has processes that confirm an hour late: the
// slot stays where it is, the log goes on, and whoever reads the slot next gets
// everything again and logs nothing twice.
func TestConfirmDelayHoldsTheSlotBack(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	url := "SWEEPER_ANCHOR_URL=file://" + k.dir
	k.purgeSome(t, 10)
	notes := len(k.notes(t))
	confirmed := k.text(t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = $1`, k.cfg.Slot)
	late := k.with(t, url, "SWEEPER_SIGNING_KEY="+k.private, "SWEEPER_CONFIRM_DELAY=1h")
	for range 3 {
		late.purgeSome(t, 100)
	}
	if now := k.text(t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = $1`, k.cfg.Slot); now != confirmed {
		t.Errorf("the slot was confirmed from %s to %s", confirmed, now)
	}
	if got := k.text(t, `select string_agg(row_count::text, ' ' order by seq) from sweeper.purge_log where kind = 'delete'`); got != "10 100 100 100" {
		t.Errorf("the log has %s", got)
	}
	if got := k.notes(t); len(got) != notes {
		t.Errorf("entries that are not as old as the delay are anchored: %q", got)
	}
	if _, _, err := sweeper.Checkpoint(t.Context(), late.cfg, late.log, time.Now); err != nil {
		t.Errorf("a checkpoint: %v", err)
	}
	k.purgeSome(t, 10)
	if k.text(t, aheadSQL) == "true" || len(k.notes(t)) != notes+1 {
		t.Errorf("without the delay the slot is still behind, or the anchor holds %q", k.notes(t))
	}
	if got := k.text(t, `select string_agg(row_count::text, ' ' order by seq) from sweeper.purge_log where kind = 'delete'`); got != "10 100 100 100 10" {
		t.Errorf("the log has %s", got)
	}
	k.sound(t, k.public)
}

// TestConfirmDelayPasses waits for the delay to be over: what was applied is
// confirmed then, and anchored.
func TestConfirmDelayPasses(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	private, _ := signingKey(t)
	w := watch(t, db.URL, db.Slot(), "SWEEPER_CONFIRM_DELAY=8s", "SWEEPER_SIGNING_KEY="+private, "SWEEPER_ANCHOR_URL=file://"+t.TempDir()+"/anchor")
	applied := w.text(t, `select applied_lsn from sweeper.log_progress`)
	if got := w.text(t, aheadSQL); got != "true" {
		t.Errorf("within the delay the slot is as far as the log")
	}
	pgtest.Eventually(t, "the slot follows", func() bool {
		return w.text(t, `select confirmed_flush_lsn >= $1::text::pg_lsn from pg_replication_slots where slot_name = $2`, applied, w.slot) == "true"
	})
	if got := w.text(t, `select bool_and(c.made_at - l.logged_at >= interval '8 seconds') from sweeper.checkpoints c join sweeper.purge_log l on l.seq < c.size`); got == "false" {
		t.Error("a checkpoint has entries that are younger than the delay")
	}
	w.fill(t)
	w.gone(t)
}

// TestIdleLogIsAnchoredAfterTheDelay has a daemon come to a log that is too young
// for a checkpoint, and nothing come to the log any more: it gets one all the same
// when it is old enough.
func TestIdleLogIsAnchoredAfterTheDelay(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	path := filepath.Join(t.TempDir(), "policies.yaml")
	write(t, path, eventsEachHour)
	late := k.with(t, "SWEEPER_ANCHOR_URL=file://"+k.dir, "SWEEPER_SIGNING_KEY="+k.private, "SWEEPER_CONFIRM_DELAY=15s", "SWEEPER_POLICIES="+path, "SWEEPER_HTTP_ADDR=")
	late.purgeSome(t, 10)
	if got := k.notes(t); len(got) != 0 {
		t.Errorf("what is younger than the delay is anchored: %q", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sweeper.Run(ctx, late.cfg, late.log, sweeper.RunOptions{Now: time.Now}) }()
	entries := k.text(t, `select count(*) from sweeper.purge_log`)
	pgtest.Eventually(t, "the log is older than the delay", func() bool {
		return k.text(t, `select now() - max(logged_at) > interval '20 seconds' from sweeper.purge_log`) == "true"
	})
	pgtest.Eventually(t, "all of it is anchored", func() bool {
		return k.text(t, `select exists (select from sweeper.checkpoints join sweeper.checkpoint_anchors using (checkpoint_id) where size = $1::bigint)`, entries) == "true"
	})
	if got := k.text(t, `select bool_and(c.made_at - l.logged_at >= interval '15 seconds') from sweeper.checkpoints c join sweeper.purge_log l on l.seq < c.size`); got != "true" {
		t.Error("a checkpoint has entries that are younger than the delay")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := k.text(t, `select count(*) from sweeper.purge_log`); got != entries {
		t.Errorf("the log had %s entries and has %s", entries, got)
	}
	k.sound(t, k.public)
}
