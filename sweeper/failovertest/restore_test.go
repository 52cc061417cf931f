package failovertest_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// grown feeds and waits until that much more stands in the log.
func (s *site) grown(t *testing.T, p *process, rows int) {
	t.Helper()
	s.feed(t, rows)
	last := s.fed
	p.eventually(t, "what was fed has gone, and the log has it", func() bool {
		return s.text(t, `select not exists (select from app.events where at >= '2012-01-01'::timestamptz + $1 * interval '1 day' and at < '2012-01-02'::timestamptz + $1 * interval '1 day' and who <> 'held')
			and not exists (select from sweeper.batches b where b.fact = 'stamp' and not exists (select from sweeper.purge_log l where l.xid = b.xid::text::bigint))`, last) == "true"
	})
}

// anchoredBeyond waits until the anchor holds a checkpoint of more entries than
// a server has.
func (s *site) anchoredBeyond(t *testing.T, size string) {
	t.Helper()
	s.must(t, "log", "checkpoint")
	if got := s.text(t, `select max(size) > $1::text::bigint from sweeper.checkpoints`, size); got != "true" {
		t.Fatalf("the newest checkpoint has no more than %s entries; the test shows nothing", size)
	}
}

// restored has a copy of the primary take its place, which is gone.
func (s *site) restored(t *testing.T, with *pgserver.Server) {
	t.Helper()
	if err := s.servers[s.primary].Crash(); err != nil {
		t.Fatal(err)
	}
	s.primary = 1 - s.primary
	s.servers[s.primary] = with
	s.connect(t)
}

// TestBackupIsRestored goes back to a base backup, which has no slot and begins
// a timeline of its own. The daemon lives through it. Nothing is purged until
// the fork, however often sweeper is installed.
func TestBackupIsRestored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.anchor(t)
	s.install(t)
	p := s.start(t, "run")
	s.grown(t, p, 200)
	backup := s.copy(t, pgserver.Options{Standby: true})
	size := s.text(t, `select count(*) from sweeper.purge_log`)
	s.grown(t, p, 300)
	s.anchoredBeyond(t, size)
	said := len(p.Stderr.String())
	if err := backup.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.restored(t, backup)
	at := s.moment(t)
	p.says(t, "slot sweeper does not exist", said)
	s.must(t, "install")
	p.says(t, "run: sweeper log fork", said)
	s.feed(t, 100)
	s.nothingPurged(t, at)
	at = s.moment(t)
	s.must(t, "log", "fork", "--actor", "test", "--reason", "restored from a backup")
	measured.add(t, "restore of a base backup, from the fork on", s.again(t, p, at))
	s.finish(t, nil, p)
	if v := s.judge(t); len(v.gaps) != 1 {
		t.Errorf("the log has %d gaps with bounds, want 1: %v", len(v.gaps), v.gaps)
	}
	s.must(t, "log", "verify")
}

// TestSnapshotIsRestored goes back to a snapshot of the volume. It has a slot,
// and nothing in it tells that it is old: without an anchor it is taken for the
// server that it was. With one it is recognised, and refused until the fork.
func TestSnapshotIsRestored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.anchor(t)
	s.install(t)
	p := s.start(t, "run")
	s.grown(t, p, 200)
	p.stop(t)
	snapshot := s.copy(t, pgserver.Options{Slots: true})
	size := s.text(t, `select count(*) from sweeper.purge_log`)
	p = s.start(t, "run")
	s.grown(t, p, 300)
	s.anchoredBeyond(t, size)
	p.stop(t)
	s.restored(t, snapshot)
	s.feed(t, 100)
	at := s.moment(t)
	anchored := s.env
	s.env = append(s.env[:len(s.env):len(s.env)], "SWEEPER_ANCHOR_URL=")
	p = s.start(t, "run")
	s.again(t, p, at) // nobody can know
	p.stop(t)
	pgtest.CheckLog(t, s.admin)
	s.env = anchored
	p = s.start(t, "run")
	p.says(t, "sweeper log fork", 0) // it may have grown beyond what is anchored, and is another log then
	s.feed(t, 100)
	s.nothingPurged(t, s.moment(t))
	at = s.moment(t)
	s.must(t, "log", "fork", "--actor", "test", "--reason", "restored from a snapshot")
	measured.add(t, "restore of a snapshot, from the fork on", s.again(t, p, at))
	s.finish(t, nil, p)
	s.judge(t)
	s.must(t, "log", "verify")
}

// copy makes a copy of the primary at the other server's port.
func (s *site) copy(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	o.Port = s.ports[1-s.primary]
	made, err := s.servers[s.primary].Copy(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.stopAtEnd(t, made)
	return made
}
