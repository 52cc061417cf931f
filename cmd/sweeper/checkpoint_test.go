package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// keygen makes a key by the verb.
func (s *site) keygen(t *testing.T, name string) (private, public string) {
	t.Helper()
	made := s.must(t, "log", "keygen", name)
	_, public, found := strings.Cut(strings.TrimSpace(made.stderr), "--key: ")
	if !found || !strings.HasPrefix(made.stdout, "PRIVATE+KEY+"+name+"+") || strings.Contains(made.stderr, "PRIVATE") {
		t.Fatalf("%+v", made)
	}
	return strings.TrimSpace(made.stdout), public
}

func TestLogKeygen(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", eventsPolicy)
	private, public := s.keygen(t, "acme.example/log")
	if _, half, err := proof.OpenKey(private); err != nil || half != public {
		t.Errorf("%q, error %v", half, err)
	}
	if got := s.try(t, []string{"log", "keygen", "a b"}); got.code != exitSetup || got.stdout != "" {
		t.Errorf("a name with a space: %+v", got)
	}
}

// TestLogCheckpoint goes through the verbs around checkpoints as a user would,
// with a daemon running.
func TestLogCheckpoint(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	private, public := s.keygen(t, "acme")
	file := filepath.Join(t.TempDir(), "signing.key")
	if err := os.WriteFile(file, []byte(private+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "anchor")
	if got := s.try(t, []string{"log", "checkpoint"}); got.code != exitSetup || !strings.Contains(got.stderr, "the purge log has no entry yet") {
		t.Errorf("before the first sweep: %+v", got)
	}
	plain := s.env
	s.env = append([]string{"SWEEPER_SIGNING_KEY_FILE=" + file, "SWEEPER_ANCHOR_URL=file://" + dir}, s.env...)
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	addr := "SWEEPER_HTTP_ADDR=" + freeAddr(t)
	s.process(t, []string{"run"}, addr)
	pgtest.Eventually(t, "the daemon is well", func() bool { return s.try(t, []string{"health"}, addr).code == exitDone })
	if got := s.try(t, []string{"health"}, addr); !strings.Contains(got.stdout, "[+]anchor ok\n[+]checkpoints ok\n") {
		t.Errorf("%+v", got)
	}
	got := s.must(t, "log", "checkpoint")
	verifier, err := proof.OpenPublic(public)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := proof.OpenCheckpoint([]byte(got.stdout), verifier); err != nil || c.Size != 5 || got.stderr != "" {
		t.Errorf("%+v, error %v", got, err)
	}
	if got := s.must(t, "status").stderr; !strings.Contains(got, "sweeper: checkpoint: 5 entries at ") || !strings.Contains(got, "signed by acme+") || !strings.Contains(got, "kept at file://"+dir) {
		t.Errorf("status: %s", got)
	}
	verified := objects(t, s.must(t, "log", "verify", "--key", public, "-o", "json"))[0]
	if verified["checkpoints"] != 1.0 || verified["anchored"] != 1.0 || verified["whole"] != true {
		t.Errorf("%v", verified)
	}
	_, strange := s.keygen(t, "acme")
	if got := s.try(t, []string{"log", "verify", "--key", strange}); got.code != exitIntegrity || !strings.Contains(got.stderr, "was never signed with the key that it is verified with") {
		t.Errorf("with a strange key: %+v", got)
	}
	if got := s.try(t, []string{"log", "verify", "--key", "x"}); got.code != exitSetup {
		t.Errorf("with no key: %+v", got)
	}
	if got := s.try(t, []string{"log", "fork", "--actor", "a", "--reason", "r"}); got.code != exitSetup || !strings.Contains(got.stderr, "there is nothing to fork") {
		t.Errorf("fork: %+v", got)
	}
	if got := s.try(t, []string{"log", "fork", "--actor", "a", "--reason", "r", "--force"}); got.code != exitFailed || !strings.Contains(got.stderr, "it is being written (pid ") {
		t.Errorf("fork beside a daemon: %+v", got)
	}

	// The anchor cannot be reached, and then tells of another log.
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"checkpoint", "verify"} {
		if got := s.try(t, []string{"log", verb}); got.code != exitUnreachable {
			t.Errorf("log %s without its anchor: %+v", verb, got)
		}
	}
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitUnreachable {
		t.Errorf("sweep without its anchor: %+v", got)
	}
	other := installed(t, eventsDDL, eventsPolicy)
	other.env = append([]string{"SWEEPER_SIGNING_KEY_FILE=" + file, "SWEEPER_ANCHOR_URL=file://" + dir + ".away"}, other.env...)
	if got := other.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitIntegrity || !strings.Contains(got.stderr, "which this database with its 0 entries never was") {
		t.Errorf("sweep of another database with this anchor: %+v", got)
	}
	forked := other.must(t, "log", "fork", "--actor", "jane", "--reason", "test")
	if c, err := proof.OpenCheckpoint([]byte(forked.stdout), verifier); err != nil || c.Size != 3 || !strings.Contains(forked.stderr, "sweeper: because: the purge log does not continue its checkpoints") {
		t.Errorf("%+v, error %v", forked, err)
	}
	other.must(t, "log", "verify")

	// Without a key and an anchor, which is said.
	s.env = plain
	third := installed(t, eventsDDL, eventsPolicy)
	if got := third.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	unsigned := third.must(t, "log", "checkpoint")
	if !strings.Contains(unsigned.stderr, "the checkpoint is not signed") || !strings.Contains(unsigned.stderr, "kept in the database alone") || strings.Count(unsigned.stdout, "\n") != 3 {
		t.Errorf("%+v", unsigned)
	}
	if got := third.must(t, "status").stderr; !strings.Contains(got, "not signed, as SWEEPER_SIGNING_KEY is not set, in the database alone") {
		t.Errorf("status: %s", got)
	}
}
