package sweeper_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// agedLog makes the first entry of a log as old as 2015, as if the log had been
// written then: with all the hashes that follow from it, but for the tree's.
const agedLog = `
	create table sweeper.purge_log_2015_01 partition of sweeper.purge_log for values from ('2015-01-01 00:00+00') to ('2015-02-01 00:00+00');
	create table sweeper.purge_rows_2015_01 partition of sweeper.purge_rows for values from ('2015-01-01 00:00+00') to ('2015-02-01 00:00+00');
	do $$ declare p regclass; begin for p in select c.oid from pg_class c where c.relnamespace = 'sweeper'::regnamespace and c.relname ~ '^purge_log' and c.relkind in ('r', 'p') loop
		execute format('alter table %s disable trigger user', p); end loop; end $$;
	update sweeper.purge_log set logged_at = '2015-01-15' where seq = 0;
	update sweeper.purge_log l set leaf_hash = sha256('\x00' || sweeper.leaf_bytes(l));
	do $$ declare e sweeper.purge_log; chain bytea := decode(repeat('00', 32), 'hex'); begin
		for e in select * from sweeper.purge_log order by seq loop
			chain := sha256('\x02' || chain || e.leaf_hash);
			update sweeper.purge_log set chain_hash = chain where seq = e.seq;
		end loop;
		update sweeper.log_head set chain_hash = chain;
	end $$;
	alter table sweeper.checkpoints disable trigger user;
	alter table sweeper.checkpoint_anchors disable trigger user;
	delete from sweeper.checkpoint_anchors;
	delete from sweeper.checkpoints`

// age makes the log's first entry an old one.
func (b *bundle) age(t *testing.T) {
	t.Helper()
	b.db.Exec(t, agedLog)
	rows, err := b.admin.Query(t.Context(), `select leaf_hash from sweeper.purge_log order by seq`)
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	var tree proof.Tree
	for _, leaf := range leaves {
		tree.Append([32]byte(leaf))
	}
	root := tree.Root()
	b.db.Exec(t, `update sweeper.log_head set root = $1, hashes = $2`, root[:], bytes.Join(tree.Hashes(), nil))
}

const oneEvent = `create schema app; create table app.events (id bigint primary key, at timestamptz, who text);
	create index on app.events (at); insert into app.events select i, now() - i * interval '1 day', 'u' || i from generate_series(1, 100) i`

const oneEventPolicy = "version: 1\ncategories:\n  events: {table: app.events, subject: who, start_from: at, delete: {after: P90D}, schedule: {every: 1h}}\n"

// TestPruneByHand prunes a month of 2015, and refuses what is younger than the
// retention; the log goes on with what is left.
func TestPruneByHand(t *testing.T) {
	t.Parallel()
	b := setup(t, oneEvent, oneEventPolicy)
	b.sweep(t)
	b.age(t)
	b.checkLog(t)
	by := sweeper.PruneRequest{Actor: "dpo", Reason: "ticket 7", Now: time.Now}
	recent := time.Now().AddDate(-6, 0, 0)
	by.Before = &recent
	if _, err := sweeper.PruneLog(t.Context(), b.cfg, b.log, by); err == nil || !strings.Contains(err.Error(), "SWEEPER_LOG_RETENTION (P7Y)") {
		t.Errorf("six years: %v", err)
	}
	early := time.Date(2015, 1, 31, 0, 0, 0, 0, time.UTC)
	by.Before = &early
	if got, err := sweeper.PruneLog(t.Context(), b.cfg, b.log, by); err != nil || got.Entries != 0 {
		t.Errorf("a part of a month: %+v %v", got, err)
	}
	by.Before = nil
	longer := b.cfg
	if err := longer.LogRetention.EnvDecode("P50Y"); err != nil {
		t.Fatal(err)
	}
	if got, err := sweeper.PruneLog(t.Context(), longer, b.log, by); err != nil || got.Entries != 0 {
		t.Errorf("fifty years: %+v %v", got, err)
	}
	got, err := sweeper.PruneLog(t.Context(), b.cfg, b.log, by)
	if err != nil || got.Entries != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	b.checkLog(t)
	b.sweep(t)
	if got := b.text(t, `select string_agg(concat_ws(' ', seq, kind, actor, row_count, nullif(basis, '')), '; ' order by seq) from sweeper.purge_log where seq < 6 and kind <> 'coverage'`); got != "4 delete test 11; 5 log_prune dpo 1 retention of the purge log P7Y" {
		t.Errorf("the log begins with %s", got)
	}
	if got, err := sweeper.PruneLog(t.Context(), b.cfg, b.log, by); err != nil || got.Entries != 0 {
		t.Errorf("once more: %+v %v", got, err)
	}
}

// TestSignedLogIsPrunedByHand: who prunes by hand writes the log as the daemon
// does: with its keys, with what its publications name, and only when the log
// continues what is anchored.
func TestSignedLogIsPrunedByHand(t *testing.T) {
	t.Parallel()
	private, public := signingKey(t)
	b := daemon(t, oneEvent, oneEventPolicy, "SWEEPER_SIGNING_KEY="+private)
	anchored := b.with(t, "SWEEPER_SIGNING_KEY="+private, "SWEEPER_ANCHOR_URL=file://"+filepath.Join(t.TempDir(), "anchor"))
	anchored.sweep(t)
	b.age(t)
	by := sweeper.PruneRequest{Actor: "dpo", Reason: "ticket 7", Now: time.Now}

	size := b.text(t, `select size from sweeper.log_head`)
	if got, err := sweeper.PruneLog(t.Context(), anchored.cfg, b.log, by); !errors.Is(err, sweeper.ErrAnchorBroken) {
		t.Errorf("a log that is not the anchored one: %+v %v", got, err)
	}
	if got := b.text(t, `select size from sweeper.log_head`); got != size {
		t.Errorf("the log had %s entries and has %s", size, got)
	}
	covered := b.text(t, `select publications from sweeper.log_progress`)
	if got, err := sweeper.PruneLog(t.Context(), b.cfg, b.log, by); err != nil || got.Entries != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if got := b.text(t, `select publications from sweeper.log_progress`); got != covered || got == "" {
		t.Errorf("the publications were %q and are %q", covered, got)
	}
	if got := b.text(t, `select string_agg(kind, ' ' order by seq) from sweeper.purge_log where kind in ('gap', 'key_rotation', 'fork', 'log_prune')`); got != "log_prune" {
		t.Errorf("the log has %s", got)
	}
	b.checkLog(t)
	b.unsound(t, public, "no checkpoint of it is signed") // the log was made older, which no key has signed

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	cfg := b.cfg
	cfg.HTTPAddr = sweeper.HTTPOff
	go func() { ended <- sweeper.Run(ctx, cfg, b.log, sweeper.RunOptions{Now: time.Now}) }()
	b.until(t, "the daemon has a schedule", `select count(*) = 1 from sweeper.schedules`)
	b.db.Exec(t, `insert into app.events values (5000, now() - interval '1 year', 'late')`)
	b.due(t, "true")
	b.until(t, "the daemon purges", `select count(*) = 1 from sweeper.purges where rows_deleted = 1`)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	b.checkLog(t)
	b.sound(t, public)
}

// TestDaemonKeepsHouse: the process that writes the log prunes it, and its health
// stays good with a log that is shorter than what it looks at.
func TestDaemonKeepsHouse(t *testing.T) {
	t.Parallel()
	b := daemon(t, oneEvent, oneEventPolicy)
	b.sweep(t)
	b.age(t)
	b.db.Exec(t, `insert into sweeper.operator_log (called_at, function, actor) values (now() - interval '366 days', 'apply_hold', 'old'), (now() - interval '364 days', 'apply_hold', 'young')`)
	ctx, stop := context.WithCancel(t.Context())
	said := &buffer{}
	ended := make(chan error, 1)
	cfg := b.cfg
	cfg.HTTPAddr = sweeper.HTTPOff
	go func() {
		ended <- sweeper.Run(ctx, cfg, slog.New(slog.NewTextHandler(said, nil)), sweeper.RunOptions{Now: time.Now, House: 2 * time.Second})
	}()
	pgtest.Eventually(t, "the log is pruned", func() bool {
		return b.text(t, `select count(*) from sweeper.log_prunes`) == "1"
	})
	pgtest.Eventually(t, "calls are forgotten", func() bool {
		return b.text(t, `select string_agg(actor, ' ') from sweeper.operator_log`) == "young"
	})
	// A hand has to wait for the daemon's place, and can no more than it does.
	b.db.Exec(t, `insert into app.events values (5000, now() - interval '1 year', 'late')`)
	size := b.text(t, `select size from sweeper.log_head`)
	b.db.Exec(t, `delete from app.events where id = 1`)
	pgtest.Eventually(t, "the log goes on", func() bool { return b.text(t, `select size from sweeper.log_head`) != size })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	b.checkLog(t)
	if text := said.String(); !strings.Contains(text, "the purge log is pruned") || strings.Contains(text, "purging is paused") {
		t.Errorf("the daemon says\n%s", text)
	}
	if got := b.text(t, `select actor from sweeper.purge_log where kind = 'log_prune'`); got != "sweeper run" {
		t.Errorf("pruned by %q", got)
	}
}

// TestLogRetention: seven years are the least, however they are written.
func TestLogRetention(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"P7Y": true, "P10Y": true, "7 years": true, "P84M": true, "P2557D": true, "P6Y12M": true, "P6Y366D": true, "P6Y11M31D": true,
		"P6Y": false, "P83M": false, "P2556D": false, "P6Y365D": false, "P6Y11M30D": false, "P0D": false, "unlimited": false, "7": false, "-P7Y": false,
	} {
		_, _, err := sweeper.Load([]string{"SWEEPER_LOG_RETENTION=" + text})
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "SWEEPER_LOG_RETENTION: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
