package sweeper_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

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
