package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const logColumns = `seq logged_at committed_at commit_lsn xid source kind reason category relation partition tenant subject_digest
	cutoff basis actor reference request_id run_id policy_sha256 row_count columns objects_removed rows_root leaf_hash chain_hash`

func TestLog(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	empty := s.must(t, "log", "verify")
	if !strings.HasPrefix(empty.stderr, "sweeper: the purge log has not begun") || !strings.Contains(empty.stdout, "\n0 ") {
		t.Errorf("before the first sweep: %+v", empty)
	}
	if got := s.must(t, "log", "tail", "-o", "json"); got.stdout != "[]\n" {
		t.Errorf("before the first sweep: %+v", got)
	}
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}

	entries := objects(t, s.must(t, "log", "tail", "-o", "json"))
	if len(entries) != 5 || keys(entries[4]) != fields(logColumns) || entries[0]["kind"] != "genesis" || entries[1]["kind"] != "coverage" || entries[4]["seq"] != 4.0 {
		t.Fatalf("%v", entries)
	}
	for name, form := range map[string]string{
		"commit_lsn": `^[0-9A-F]+/[0-9A-F]+$`, "run_id": `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, "chain_hash": `^[0-9a-f]{64}$`,
		"leaf_hash": `^[0-9a-f]{64}$`, "rows_root": `^[0-9a-f]{64}$`, "policy_sha256": `^[0-9a-f]{64}$`,
	} {
		if text, _ := entries[4][name].(string); !regexp.MustCompile(form).MatchString(text) {
			t.Errorf("%s: %v", name, entries[4][name])
		}
	}
	one := objects(t, s.must(t, "log", "tail", "-n", "1", "-o", "json"))
	if diff := cmp.Diff(entries[4:], one); diff != "" {
		t.Error(diff)
	}
	table := s.must(t, "log", "tail")
	t.Logf("\n%s", table.stdout)
	if got := s.try(t, []string{"log", "tail", "-n", "0"}); got.code != exitSetup || got.stderr != "sweeper: --lines 0: write a number from 1 on (see: sweeper log tail --help)\n" {
		t.Errorf("%+v", got)
	}

	whole := s.must(t, "log", "verify")
	t.Logf("\n%s", whole.stdout)
	result := objects(t, s.must(t, "log", "verify", "-o", "json"))[0]
	if keys(result) != fields("entries row_commitments mismatches gaps checkpoints anchored root whole problems first") || result["entries"] != 5.0 || result["row_commitments"] != float64(eventsDue) || result["whole"] != true || result["mismatches"] != 0.0 || result["gaps"] != 0.0 {
		t.Errorf("%v", result)
	}
}

// TestUnsignedLogIsNotWholeForAPinnedKey: a log without a signature is what
// somebody leaves who has written it anew.
func TestUnsignedLogIsNotWholeForAPinnedKey(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	private, public := s.keygen(t, "acme")
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	got := s.try(t, []string{"log", "verify", "--key", public, "-o", "json"})
	if got.code != exitIntegrity || objects(t, got)[0]["whole"] != false || !strings.Contains(got.stderr, "names no signing key, and no checkpoint of it is signed with the key that it is verified with") {
		t.Errorf("%+v", got)
	}
	s.must(t, "log", "verify")

	// The key comes later, and the log takes it with the next sweep.
	key := "SWEEPER_SIGNING_KEY=" + private
	if got := s.try(t, []string{"log", "verify"}, key); got.code != exitDone || !strings.Contains(got.stderr, "warning: the log ") {
		t.Errorf("with the key in the environment alone: %+v", got)
	}
	s.must(t, "log", "checkpoint")
	if got := s.try(t, []string{"log", "checkpoint"}, key); got.code != exitSetup || got.stdout != "" || !strings.Contains(got.stderr, "it is not signed with SWEEPER_SIGNING_KEY, which came later; run: sweeper sweep") {
		t.Errorf("a checkpoint with a key that the log does not know: %+v", got)
	}
	if got := s.try(t, []string{"sweep"}, key); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	if got := s.try(t, []string{"log", "checkpoint"}, key); got.code != exitDone || !strings.Contains(got.stdout, "\n— acme ") {
		t.Errorf("a checkpoint behind the sweep: %+v", got)
	}
	s.must(t, "log", "verify", "--key", public)
}

func TestLogBroken(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	s.db.Exec(t, `set session_replication_role = replica; alter table sweeper.purge_log disable trigger user;
		do $$ declare leaf regclass; begin
			for leaf in select inhrelid from pg_inherits where inhparent = 'sweeper.purge_log'::regclass loop
				execute format('alter table %s disable trigger user', leaf);
			end loop;
		end $$;
		update sweeper.purge_log set row_count = 1 where seq = 4`)
	got := s.try(t, []string{"log", "verify", "-o", "json"})
	t.Log(got.stderr)
	result := objects(t, got)[0]
	if got.code != exitIntegrity || result["whole"] != false || !strings.HasPrefix(got.stderr, "sweeper: entry 4: leaf_hash differs from the entry's fields\n") {
		t.Errorf("%+v", got)
	}
	s.db.Exec(t, `delete from sweeper.log_head`)
	if got := s.try(t, []string{"log", "verify"}); got.code != exitIntegrity || got.stderr != "sweeper: entry 0: log_head has no row, beside 5 entries and 2 stamps of purges\nsweeper: sweeper.checkpoints holds a checkpoint of 5 entries and the database has 0, as after a restore\n" {
		t.Errorf("without its head: %+v", got)
	}
}

// A mismatch and a gap are told by each verb that looks at the log, though the
// log is whole.
func TestLogWithBadNews(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL+`;
		create function app.more() returns trigger language plpgsql security definer as $$ begin
			delete from app.events where id = (select min(id) from app.events); return null; end $$;
		create trigger more after delete on app.events for each statement when (pg_trigger_depth() = 0) execute function app.more()`, eventsPolicy)
	lied := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto")
	if want := "sweeper: the purge log has 2 mismatch entries of this sweep, from entry 5 on: what was reported and what the write-ahead log showed differ\n"; lied.code != exitIntegrity || !strings.HasSuffix(lied.stderr, want) {
		t.Errorf("a run that lies: %+v", lied)
	}
	s.db.Exec(t, `drop trigger more on app.events; insert into app.events values (2000, '2010-01-01', 't', 'u')`)
	s.db.Exec(t, `select pg_replication_slot_advance($1, pg_current_wal_lsn())`, s.db.Slot())
	after := s.must(t, "sweep", "-o", "json")
	if !strings.Contains(after.stderr, "sweeper: warning: the purge log has a gap: slot "+s.db.Slot()+" was advanced or made anew by somebody else than sweeper: what was committed from ") {
		t.Errorf("after the slot was advanced: %+v", after)
	}
	verified := s.must(t, "log", "verify", "-o", "json")
	if got := objects(t, verified)[0]; got["mismatches"] != 2.0 || got["gaps"] != 1.0 || got["whole"] != true || !strings.HasPrefix(verified.stderr, "sweeper: warning: the purge log has 2 mismatch and 1 gap entries; ") {
		t.Errorf("log verify: %+v", verified)
	}
	if got := s.must(t, "status").stderr; !strings.Contains(got, "sweeper: log: 2 mismatch and 1 gap entries, the last at ") {
		t.Errorf("status: %s", got)
	}
}

// Without the right to read the log nothing can be said about it.
func TestLogUndecided(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	role := s.db.Role(t, "stranger", "login")
	got := s.try(t, []string{"log", "verify"}, "SWEEPER_DATABASE_URL="+s.db.URL(role))
	if got.code != exitSetup || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("%+v", got)
	}
	t.Log(got.stderr)
}
