package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// peopleDDL is a table whose key is its subject, and one with a key of two
// columns.
const peopleDDL = `
	create schema app;
	create table app.people (id bigint primary key, at timestamptz, name text);
	create table app.visits (site char(4), n numeric(6,2), at timestamptz, who bigint, primary key (site, n));
	insert into app.people select i, now() - i * interval '100 days', 'canary' || i from generate_series(1, 10) i;
	insert into app.visits select 'x' || i % 3, i, now() - i * interval '100 days', i from generate_series(1, 10) i`

const peoplePolicy = `version: 1
categories:
  people: {table: app.people, subject: id, start_from: at, redact: {after: P350D, columns: {name: "null"}}, delete: {after: P750D}}
  visits: {table: app.visits, subject: who, start_from: at, delete: {after: P750D}}
`

// checkpointed makes a signed checkpoint of the log as it stands and returns the
// public key.
func (s *site) checkpointed(t *testing.T) (public string, signed []byte) {
	t.Helper()
	private, public, err := note.GenerateKey(zeros{}, "example.org/log")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	conn := s.db.Conn(t, "")
	c := proof.Checkpoint{Size: uint64(pgtest.QueryOne[int64](t, conn, `select size from sweeper.log_head`))}
	copy(c.Root[:], pgtest.QueryOne[[]byte](t, conn, `select root from sweeper.log_head`))
	c.Origin = proof.Origin([32]byte(pgtest.QueryOne[[]byte](t, conn, `select leaf_hash from sweeper.purge_log where seq = 0`)))
	if signed, err = c.Sign(signer); err != nil {
		t.Fatal(err)
	}
	s.db.Exec(t, `insert into sweeper.checkpoints (origin, size, root, hashes, note, signed_by) select $1, $2, $3, hashes, $4, '{test}' from sweeper.log_head`, c.Origin, int64(c.Size), c.Root[:], string(signed))
	return public, signed
}

// zeros makes the same key each time.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestLogAudit has every verb of an auditor look at a log, with an entry for each
// transaction and with one for each row.
func TestLogAudit(t *testing.T) {
	t.Parallel()
	for _, evidence := range []string{"batch", "row"} {
		t.Run(evidence, func(t *testing.T) {
			t.Parallel()
			auditLog(t, strings.ReplaceAll(peoplePolicy, "start_from:", "evidence: "+evidence+", start_from:"))
		})
	}
}

func auditLog(t *testing.T, policy string) {
	s := installed(t, peopleDDL, policy)
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := func(code int, words string, args ...string) outcome {
		t.Helper()
		got := s.try(t, args)
		if got.code != code || !strings.Contains(got.stderr, words) {
			t.Errorf("%q: exit code %d, want %d with %q\n%s%s", args, got.code, code, words, got.stdout, got.stderr)
		}
		if strings.Contains(got.stdout+got.stderr, "canary") {
			t.Errorf("%q prints a value: %+v", args, got)
		}
		return got
	}
	want(exitFailed, "has not begun", "log", "export", filepath.Join(dir, "none"))
	want(exitFailed, "has not begun", "log", "prove", "--table", "app.people", "--key", "9")
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	public, older := s.checkpointed(t)
	s.db.Exec(t, `update app.people set at = now() - interval '800 days' where id = 4`) // redacted in the first sweep
	if got := s.try(t, []string{"sweep"}, "SWEEPER_APPROVE=auto"); got.code != exitDone {
		t.Fatalf("%+v", got)
	}
	_, newer := s.checkpointed(t)
	olderFile, newerFile := file("older.note", older), file("newer.note", newer)

	// Verify, whole, from an entry on, and since a checkpoint.
	for _, args := range [][]string{{}, {"--from", "2"}, {"--since-checkpoint", olderFile}, {"--since-checkpoint", newerFile, "--key", public}} {
		want(exitDone, "", append([]string{"log", "verify"}, args...)...)
	}
	want(exitSetup, "--from 99: the purge log has ", "log", "verify", "--from", "99")
	size := pgtest.QueryOne[string](t, s.db.Conn(t, ""), `select size::text from sweeper.log_head`)
	want(exitDone, "", "log", "verify", "--from", size)
	want(exitSetup, "from 0 on", "log", "verify", "--from", "-1")
	want(exitSetup, "whole", "log", "verify", "--from", "1", "--offline", dir)
	want(exitSetup, "not a public key", "log", "verify", "--key", "nonsense")
	forged := file("forged.note", []byte(strings.Replace(string(older), "\n", "x\n", 1)))
	want(exitIntegrity, "older checkpoint", "log", "verify", "--since-checkpoint", forged)
	want(exitSetup, "signature", "log", "verify", "--since-checkpoint", forged, "--key", public)

	// Prove: redacted and then deleted, deleted, redacted alone, neither.
	proofOf := func(code int, words string, args ...string) string {
		t.Helper()
		got := want(code, words, append([]string{"log", "prove"}, args...)...)
		if strings.Contains(got.stdout, testKey) {
			t.Error("the proof has the key")
		}
		return file("proof.json", []byte(got.stdout))
	}
	twice := proofOf(exitDone, "was purged, and is not in app.people", "--table", "app.people", "--key", "4")
	got := want(exitDone, "the row was absent", "log", "verify", "--offline", twice, "--key", public, "-o", "json")
	if rows := objects(t, got); len(rows) != 2 || rows[0]["kind"] != "redact" || rows[1]["kind"] != "delete" {
		t.Errorf("both passes over a row: %v", rows)
	}
	proofOf(exitDone, "was redacted", "--table", "app.people", "--key", "5")
	proofOf(exitFailed, "no purge of this row of app.people", "--table", "app.people", "--key", "1")
	proofOf(exitFailed, "since 2999", "--table", "app.people", "--key", "9", "--since", "2999-01-01")
	proofOf(exitSetup, "no value of", "--table", "app.people", "--key", "nine")
	proofOf(exitSetup, "does not exist", "--table", "app.nothing", "--key", "9")
	proofOf(exitSetup, "2 columns", "--table", "app.visits", "--key", "9")
	visit := proofOf(exitDone, "was purged", "--table", "app.visits", "--key", `["x0","9"]`, "--since", "2020-01-01", "--since-checkpoint", olderFile)
	want(exitDone, "continues", "log", "verify", "--offline", visit, "--key", public, "--since-checkpoint", olderFile)
	want(exitIntegrity, "not about the checkpoint", "log", "verify", "--offline", visit, "--since-checkpoint", newerFile)
	consistency := proofOf(exitDone, "continues", "--since-checkpoint", olderFile)
	want(exitDone, "without --key", "log", "verify", "--offline", consistency)
	s.db.Exec(t, `insert into app.people values (9, now(), 'canary again')`)
	again := proofOf(exitFailed, "again", "--table", "app.people", "--key", "9") // row 4 of the table of attacks
	want(exitDone, "was present again", "log", "verify", "--offline", again, "--key", public)
	text, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	altered := want(exitIntegrity, "does not hold", "log", "verify", "--offline", file("other.json", []byte(strings.Replace(string(text), `"9"`, `"8"`, 1))))
	if strings.Count(altered.stderr, "\n") != 2 || strings.ContainsAny(altered.stderr, "[]\\") || !strings.Contains(altered.stderr, "the path leads to another root") {
		t.Errorf("of an altered key it says %q", altered.stderr)
	}

	// Another key finds nothing, and says so; a table without a row is a failure.
	for _, args := range [][]string{{"log", "prove", "--table", "app.people", "--key", "4"}, {"log", "find", "--subject", "9"}, {"explain", "app.people", "4"}} {
		if got := s.try(t, args, "SWEEPER_HMAC_KEY="+strings.Repeat("ab", 32)); got.code != exitSetup || got.stdout != "" || !strings.Contains(got.stderr, "SWEEPER_HMAC_KEY is not the purge log's key: that has the fingerprint ") {
			t.Errorf("%q with another key: %+v", args, got)
		}
		if got := s.try(t, args, "SWEEPER_HMAC_KEY="+strings.Repeat("ab", 32)+","+testKey); got.code == exitSetup {
			t.Errorf("%q while rotating: %+v", args, got)
		}
	}
	want(exitFailed, "the purge log has no entry about this subject", "log", "find", "--subject", "1")

	// Find: by digest and by key.
	digest := proof.SubjectDigest(key32(t), "t1", "9")
	if rows := objects(t, want(exitDone, "app.visits is not its subject", "log", "find", "--subject", "9", "-o", "json")); len(rows) != 1 || rows[0]["found_by"] != "key of app.people" {
		t.Errorf("found %v", rows)
	}
	s.db.Exec(t, `insert into sweeper.purge_log (seq, logged_at, commit_lsn, source, kind, subject_digest, leaf_hash, chain_hash) values (77, now(), '0/1', 's', 'delete', $1, sha256(''), sha256(''))`, digest[:])
	if rows := objects(t, want(exitDone, "", "log", "find", "--subject", "9", "--tenant", "t1", "-o", "json")); len(rows) != 2 || rows[1]["found_by"] != "subject_digest" {
		t.Errorf("found %v", rows)
	}
	s.db.Exec(t, `alter table sweeper.purge_log disable trigger user; delete from sweeper.purge_log where seq = 77`)

	// Export, and verify that.
	dump := filepath.Join(dir, "export")
	if rows := objects(t, want(exitDone, "", "log", "export", dump, "-o", "json")); rows[0]["checkpoints"] != 4.0 || rows[0]["row_commitments"] == 0.0 {
		t.Errorf("exported %v", rows)
	}
	want(exitSetup, "export into "+dump+": it is not empty; name a new folder or an empty one, where this user may write\n", "log", "export", dump)
	want(exitSetup, "no such file or directory; name a new folder", "log", "export", filepath.Join(dir, "no", "such", "folder"))
	want(exitSetup, "not a directory; name a new folder", "log", "export", olderFile)
	whole := objects(t, want(exitDone, "", "log", "verify", "--offline", dump, "--key", public, "-o", "json"))[0]
	if whole["whole"] != true || whole["signed"] != 2.0 || whole["covered"] != whole["entries"] {
		t.Errorf("the export: %v", whole)
	}
	want(exitDone, "", "log", "verify", "--offline", dump, "--since-checkpoint", olderFile)
	want(exitIntegrity, "older checkpoint", "log", "verify", "--offline", dump, "--since-checkpoint", forged)
	if err := os.WriteFile(filepath.Join(dump, "more"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(exitIntegrity, "does not belong", "log", "verify", "--offline", dump)
	want(exitSetup, "no such file", "log", "verify", "--offline", filepath.Join(dir, "absent"))
	// Something else than an export or a proof says nothing of any log.
	want(exitSetup, "has no file of an export in it", "log", "verify", "--offline", t.TempDir())
	want(exitSetup, "has no file of an export in it", "log", "verify", "--offline", dir)
	want(exitSetup, "is no proof", "log", "verify", "--offline", olderFile)
	if err := os.Remove(filepath.Join(dump, proof.ManifestFile)); err != nil {
		t.Fatal(err)
	}
	want(exitIntegrity, proof.ManifestFile, "log", "verify", "--offline", dump)

	// Broken.
	s.db.Exec(t, `do $$ declare p regclass; begin for p in select inhrelid from pg_inherits where inhparent = 'sweeper.purge_log'::regclass loop
		execute format('alter table %s disable trigger user', p); end loop; end $$`)
	s.db.Exec(t, `update sweeper.purge_log set row_count = row_count + 1 where kind = 'delete'`)
	want(exitIntegrity, "broken", "log", "prove", "--table", "app.people", "--key", "4")
	want(exitIntegrity, "leaf_hash", "log", "verify")
	broken := filepath.Join(dir, "broken")
	want(exitDone, "", "log", "export", broken)
	want(exitIntegrity, "leaf_hash", "log", "verify", "--offline", broken)
}

func key32(t *testing.T) []byte {
	t.Helper()
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
