package sweeper_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestDaemonAnchorsItsLog watches a daemon make checkpoints: at once, and of the
// rest when it ends. An anchor that goes away in between stops nothing.
func TestDaemonAnchorsItsLog(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	private, public := signingKey(t)
	dir := filepath.Join(t.TempDir(), "anchor")
	var w *watched
	t.Run("daemon", func(t *testing.T) {
		w = watch(t, db.URL, db.Slot(), "SWEEPER_SIGNING_KEY="+private, "SWEEPER_ANCHOR_URL=file://"+dir)
		pgtest.Eventually(t, "there is a checkpoint", func() bool { return w.text(t, `select count(*) from sweeper.checkpoint_anchors`) == "1" })
		code, body := w.get(t, "/readyz?verbose")
		if code != http.StatusOK || !strings.Contains(body, "[+]anchor ok\n[+]checkpoints ok\n") {
			t.Errorf("%d: %s", code, body)
		}
		if _, body := w.get(t, "/metrics"); !strings.Contains(body, "sweeper_checkpoint_unanchored_seconds ") {
			t.Error("the metrics do not have sweeper_checkpoint_unanchored_seconds")
		}
		hide(t, dir)
		w.fill(t)
		w.gone(t)
		w.green(t)
		show(t, dir)
		w.fill(t)
		w.gone(t)
	})
	admin := db.Conn(t, "")
	if got := pgtest.QueryOne[string](t, admin, `select concat_ws(' ', (select size from sweeper.log_head) = max(c.size), count(a.anchor) = count(distinct c.size)) from sweeper.checkpoints c left join sweeper.checkpoint_anchors a using (checkpoint_id)`); got != "t t" {
		t.Errorf("at its end the daemon left entries without a checkpoint: %s", got)
	}
	found, err := sweeper.AuditCheckpoints(t.Context(), w.cfg, slog.New(slog.DiscardHandler), public, time.Now)
	if err != nil || len(found.Problems)+len(found.Warnings) > 0 {
		t.Errorf("%+v, error %v", found, err)
	}
}

// hide makes an anchor that cannot be reached, and show one that can again.
func hide(t *testing.T, dir string) {
	t.Helper()
	if err := errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func show(t *testing.T, dir string) {
	t.Helper()
	if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
}

// TestDaemonWaitsForItsAnchor starts a daemon whose anchor cannot be reached: it
// cannot tell whether the database is behind it, so that it waits and is not
// ready, and goes on when the anchor is there.
func TestDaemonWaitsForItsAnchor(t *testing.T) {
	t.Parallel()
	k := setupKept(t)
	k.purgeSome(t, 10)
	hide(t, k.dir)
	path := filepath.Join(t.TempDir(), "policies.yaml")
	write(t, path, eventsEachHour)
	addr := freeAddr(t)
	d := k.with(t, "SWEEPER_SIGNING_KEY="+k.private, "SWEEPER_ANCHOR_URL=file://"+k.dir, "SWEEPER_POLICIES="+path, "SWEEPER_HTTP_ADDR="+addr)
	w := &watched{url: "http://" + addr, admin: k.admin, slot: k.cfg.Slot, cfg: d.cfg, log: &buffer{}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- sweeper.Run(ctx, d.cfg, slog.New(slog.NewTextHandler(w.log, nil)), sweeper.RunOptions{Now: time.Now})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	})
	k.fill(t, 0, 10)
	pgtest.Eventually(t, "the daemon says why it is not ready", func() bool {
		code, body := w.get(t, "/readyz?verbose")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "[-]anchor failed: whether the purge log continues its checkpoints cannot be decided") && strings.Contains(body, "[+]database ok")
	})
	if got := k.text(t, `select count(*) from app.events`); got != "10" {
		t.Errorf("%s rows are left of 10", got)
	}
	show(t, k.dir)
	w.green(t)
	k.db.Exec(t, `update sweeper.schedules set next_due = date_trunc('second', now()) - interval '1 second'`)
	w.gone(t)
}
