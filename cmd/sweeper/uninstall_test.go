package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// Uninstalling drops roles, which a shared server's other tests need.
func TestUninstall(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgserver.Options{})
	conn := connection(t, server)
	if _, err := conn.Exec(t.Context(), eventsDDL); err != nil {
		t.Fatal(err)
	}
	roles := func() int64 {
		return pgtest.QueryOne[int64](t, conn, `select count(*) from pg_roles where rolname like 'sweeper%'`)
	}
	before := fingerprint(t, conn)
	env := []string{
		"SWEEPER_DATABASE_URL=" + server.URL("postgres", "sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + server.URL("postgres", "sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + server.URL("postgres", "postgres"), "SWEEPER_POLICIES=" + policyFile(t, eventsPolicy),
		"SWEEPER_HMAC_KEY=" + testKey, "SWEEPER_APPROVE=auto",
	}
	for _, args := range [][]string{{"install"}, {"sweep"}} {
		if got := try(t, env, args); got.code != exitDone {
			t.Fatalf("%q: %+v", args, got)
		}
	}
	whole := fingerprint(t, conn)
	got := try(t, env, []string{"uninstall"})
	if got.code != exitSetup || !strings.HasSuffix(got.stderr, "add --yes: stdin is no terminal to ask at\n") {
		t.Errorf("uninstall without --yes: %+v", got)
	}
	if diff := cmp.Diff(whole, fingerprint(t, conn)); diff != "" {
		t.Errorf("it changed the database:\n%s", diff)
	}

	got = try(t, env, []string{"uninstall", "--keep-log", "--yes"})
	want := "sweeper: removed: slot sweeper\nsweeper: removed: publication sweeper\nsweeper: removed: publication sweeper_redact\nsweeper: removed: publication sweeper_stamp\n"
	if got.code != exitDone || got.stdout != "" || !strings.HasPrefix(got.stderr, want) || strings.Contains(got.stderr, "schema sweeper") {
		t.Errorf("--keep-log: %+v", got)
	}
	env = append([]string{"SWEEPER_DATABASE_URL=" + server.URL("postgres", pgserver.Superuser)}, env...)
	if got := try(t, env, []string{"log", "verify", "-o", "json"}); got.code != exitDone || objects(t, got)[0]["whole"] != true {
		t.Errorf("the log that was kept: %+v", got)
	}

	got = try(t, env, []string{"uninstall", "--yes"})
	if got.code != exitDone || !strings.Contains(got.stderr, "sweeper: removed: schema sweeper\n") || roles() != 0 {
		t.Errorf("uninstall: %+v, %d roles left", got, roles())
	}
	after := fingerprint(t, conn)
	before["rows of app.events"] -= eventsDue
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("not as before the install:\n%s", diff)
	}
	if got := try(t, env, []string{"uninstall", "--yes"}); got.code != exitDone || !strings.HasPrefix(got.stderr, "sweeper: nothing to do in database ") {
		t.Errorf("uninstall again: %+v", got)
	}
}

// connection is the superuser's on a dedicated server.
func connection(t *testing.T, server *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"yes\n": true, " YES \r\n": true, "yes": true, "y\n": false, "\n": false, "": false, "no\n": false, "yes please\n": false} {
		var stderr bytes.Buffer
		a := &app{stdin: strings.NewReader(answer), stderr: &stderr}
		err := a.confirm("remove it", true)
		if (err == nil) != want || stderr.String() != "remove it? Type yes: " || exitCode(err) == exitSetup {
			t.Errorf("%q: %v, %q", answer, err, stderr.String())
		}
	}
	a := &app{stdin: strings.NewReader("yes\n")}
	if err := a.confirm("remove it", false); exitCode(err) != exitSetup || !slices.Contains(strings.Fields(err.Error()), "--yes:") {
		t.Errorf("without a terminal: %v", err)
	}
}
