package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// readers are the command lines that look at what is installed.
var readers = []string{
	"plan", "status", "hold list", "log tail", "log verify", "approve events --plan x --actor a --reason r",
	"hold apply --subject u1 --reason r --actor a", "hold release 1 --reason r --actor a",
}

// refused runs command lines that have to fail with code and one sentence that
// contains want.
func refused(t *testing.T, env []string, code int, want string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		got := try(t, env, strings.Fields(line))
		if got.code != code || got.stdout != "" {
			t.Errorf("%s: exit code %d, want %d, stdout %q, stderr %q", line, got.code, code, got.stdout, got.stderr)
		}
		if !strings.HasPrefix(got.stderr, "sweeper: ") || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: not one sentence with %q:\n%s", line, want, got.stderr)
		}
		if strings.Contains(got.stderr, "hunter2") {
			t.Errorf("%s: the password is shown: %s", line, got.stderr)
		}
	}
}

// everywhere sets all three connections.
func everywhere(url string, more ...string) []string {
	return append([]string{"SWEEPER_DATABASE_URL=" + url, "SWEEPER_REPLICATION_URL=" + url, "SWEEPER_INSTALL_URL=" + url, "SWEEPER_HMAC_KEY=" + testKey}, more...)
}

func TestRefusedUnreachable(t *testing.T) {
	t.Parallel()
	s := newSite(t, eventsDDL, eventsPolicy)
	role := s.db.Role(t, "secretive", "login password 'right'")
	s.db.RequirePassword(t, role)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	before := s.fingerprint(t)
	all := append([]string{"install", "install --print", "uninstall --yes", "lint", "sweep"}, readers...)
	for _, tc := range map[string]struct{ url, want string }{
		"no server":        {"postgres://u:hunter2@" + closed + "/d", "connect to database \"d\" at " + closed + " as \"u\": dial tcp: connect: connection refused; check host and port in the URL, and that PostgreSQL listens there\n"},
		"no such database": {strings.Replace(s.db.URL(""), "/"+s.db.Name, "/nowhere", 1), `database "nowhere" does not exist (SQLSTATE 3D000); check the database in the URL`},
		"wrong password":   {strings.Replace(s.db.URL(role), role+"@", role+":hunter2@", 1), `password authentication failed for user "` + role + `" (SQLSTATE 28P01); give the right password in the URL, in PGPASSWORD or in the password file`},
		"no password":      {s.db.URL(role), `as "` + role + `": `},
		"no such role":     {s.db.URL("nobody_of_that_name"), `role "nobody_of_that_name" does not exist (SQLSTATE 28000)`},
	} {
		refused(t, everywhere(tc.url, "SWEEPER_POLICIES="+s.policies), exitUnreachable, tc.want, all...)
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("the database has changed:\n%s", diff)
	}
}

func TestRefusedServer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options pgserver.Options
		want    string
	}{
		"wal_level": {pgserver.Options{Settings: map[string]string{"wal_level": "replica"}}, `wal_level is "replica", so the write-ahead log would not show what was deleted; run ALTER SYSTEM SET wal_level = logical; and restart PostgreSQL`},
		"minimal":   {pgserver.Options{Settings: map[string]string{"wal_level": "minimal", "max_wal_senders": "0"}}, `wal_level is "minimal", so the write-ahead log would not show what was deleted; run ALTER SYSTEM SET wal_level = logical; and restart PostgreSQL`},
		"no slots":  {pgserver.Options{Settings: map[string]string{"max_replication_slots": "0"}}, `max_replication_slots is 0, so the purge log could have no slot; run ALTER SYSTEM SET max_replication_slots = 10; and restart PostgreSQL`},
		"no sender": {pgserver.Options{Settings: map[string]string{"max_wal_senders": "0"}}, `max_wal_senders is 0, so nobody could read the purge log's slot; run ALTER SYSTEM SET max_wal_senders = 10; and restart PostgreSQL`},
		"standby":   {pgserver.Options{Standby: true, Sources: []pgserver.Source{pgserver.Binaries, pgserver.Download}}, `database "postgres" is on a standby, which can only be read; connect to the primary`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Server(t, tc.options)
			conn := connection(t, server)
			sum := func() map[string]int64 {
				all := fingerprint(t, conn)
				all["all roles"] = pgtest.QueryOne[int64](t, conn, `select count(*) from pg_roles`)
				return all
			}
			before := sum()
			env := everywhere(server.URL("postgres", pgserver.Superuser), "SWEEPER_ALLOW_SUPERUSER=true", "SWEEPER_POLICIES="+policyFile(t, eventsPolicy))
			refused(t, env, exitSetup, tc.want, "install", "install --print", "plan", "sweep", "explain app.events 1", "forecast", "status",
				"hold list", "hold apply --subject u1 --reason r --actor a", "hold release 1 --reason r --actor a", "approve events --plan x --actor a --reason r")
			if got := try(t, append([]string{"SWEEPER_HTTP_ADDR=off"}, env...), []string{"run"}); got.code != exitSetup || !strings.Contains(got.stderr, "\nsweeper: "+tc.want) {
				t.Errorf("run: %+v", got)
			}
			refused(t, env, exitSetup, "sweeper is not installed in database \"postgres\"", "log tail", "log verify")
			if diff := cmp.Diff(before, sum()); diff != "" {
				t.Errorf("the database has changed:\n%s", diff)
			}
		})
	}
}

// TestRefusedBeforeInstall is the first hour of a new user: the URLs name roles
// that only install makes.
func TestRefusedBeforeInstall(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgserver.Options{Settings: map[string]string{"wal_level": "logical"}})
	as := func(user string) []string {
		return everywhere(server.URL("postgres", user), "SWEEPER_POLICIES="+policyFile(t, eventsPolicy), "SWEEPER_HTTP_ADDR=off")
	}
	all := append([]string{"lint", "sweep", "explain app.events 1", "forecast", "log export " + t.TempDir() + "/x"}, readers...)
	refused(t, as("sweeper_daemon"), exitSetup, `role "sweeper_daemon" does not exist (SQLSTATE 28000); run sweeper install first, as a role that may create roles (SWEEPER_INSTALL_URL): it makes this one`, all...)
	if got := try(t, as("sweeper_daemon"), []string{"run"}); got.code != exitSetup || !strings.Contains(got.stderr, "run sweeper install first") {
		t.Errorf("run: %+v", got)
	}
	refused(t, as("sweeper_deamon"), exitUnreachable, `role "sweeper_deamon" does not exist (SQLSTATE 28000)`, "lint", "plan")
}

func TestRefusedNotInstalled(t *testing.T) {
	t.Parallel()
	s := newSite(t, eventsDDL, eventsPolicy)
	before := s.fingerprint(t)
	env := everywhere(s.db.URL(""), "SWEEPER_ALLOW_SUPERUSER=true", "SWEEPER_POLICIES="+s.policies)
	refused(t, env, exitSetup, `sweeper is not installed in database "`+s.db.Name+`"`, append([]string{"sweep"}, readers...)...)
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("the database has changed:\n%s", diff)
	}
}

func TestRefusedRoles(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	plain := s.db.Role(t, "plain", "login in role sweeper_logger")
	stranger := s.db.Role(t, "stranger", "login")
	auditor, operator := s.db.Role(t, "auditor", "login in role sweeper_auditor"), s.db.Role(t, "operator", "login in role sweeper_operator")
	replicates := s.db.Role(t, "replicates", "login replication")
	blind := s.db.Role(t, "blind", "login")
	s.db.Exec(t, `grant usage on schema sweeper to `+blind+`; grant select on sweeper.schema_version to `+blind)
	before := s.fingerprint(t)
	with := func(variable, user string) []string {
		return append([]string{variable + "=" + s.db.URL(user)}, s.env...)
	}
	refused(t, with("SWEEPER_DATABASE_URL", ""), exitSetup, "is a superuser, whom no privilege keeps from purging the wrong table", "sweep")
	refused(t, with("SWEEPER_DATABASE_URL", blind), exitSetup, "run GRANT pg_read_all_stats TO \""+blind+"\"; or set SWEEPER_MAX_REPLICA_LAG=0s", "sweep")
	refused(t, with("SWEEPER_REPLICATION_URL", plain), exitSetup, `role "`+plain+`" may not replicate; set SWEEPER_REPLICATION_URL to sweeper_logger`, "sweep")
	unused := `role "` + stranger + `" may not use schema sweeper of database "` + s.db.Name + `"; run GRANT `
	for role, lines := range map[string][]string{
		"sweeper_daemon":   {"sweep", "plan", "explain app.events 1", "forecast"},
		"sweeper_auditor":  {"status", "log tail", "log verify", "log prove --table app.events --key 1 --since 2020-01-01"},
		"sweeper_operator": {"hold list", "hold release 1 --reason r --actor a", "approve events --plan x --actor a --reason r"},
	} {
		refused(t, with("SWEEPER_DATABASE_URL", stranger), exitSetup, unused+role+` TO "`+stranger+`"; or connect as a role that has it`, lines...)
	}
	refused(t, with("SWEEPER_INSTALL_URL", stranger), exitSetup, unused+`sweeper_owner TO "`, "install", "install --print", "uninstall --yes")
	refused(t, with("SWEEPER_REPLICATION_URL", replicates), exitSetup, `role "`+replicates+`" may not use schema sweeper of database "`+s.db.Name+`"; run GRANT sweeper_logger TO`, "sweep")
	refused(t, with("SWEEPER_DATABASE_URL", "sweeper_auditor"), exitSetup, `role "sweeper_auditor" is not permitted to log in (SQLSTATE 28000); sweeper install makes it without a login: run GRANT sweeper_auditor TO a role that may log in`, "status", "lint", "log verify")
	// A role that has some of it, and not what the verb needs.
	refused(t, with("SWEEPER_DATABASE_URL", auditor), exitSetup, "permission denied for schema app (SQLSTATE 42501); SWEEPER_DATABASE_URL needs a role that has sweeper_daemon, to which sweeper install grants", "plan", "explain app.events 1", "forecast")
	refused(t, with("SWEEPER_DATABASE_URL", auditor), exitSetup, "(SQLSTATE 42501); run GRANT sweeper_operator TO", "hold apply --subject u1 --reason r --actor a", "approve events --plan x --actor a --reason r")
	refused(t, with("SWEEPER_DATABASE_URL", operator), exitSetup, "(SQLSTATE 42501); run GRANT sweeper_auditor TO", "log verify")
	refused(t, with("SWEEPER_INSTALL_URL", auditor), exitSetup, "(SQLSTATE 42501); SWEEPER_INSTALL_URL needs a role that may create schema", "install")
	noSlot := append([]string{"SWEEPER_SLOT=" + s.db.Name + "_other"}, s.env...)
	refused(t, noSlot, exitSetup, "does not exist, so nothing would witness a purge; run: sweeper install", "sweep")
	noKey := slices.DeleteFunc(slices.Clone(s.env), func(entry string) bool { return strings.HasPrefix(entry, "SWEEPER_HMAC_KEY=") })
	refused(t, noKey, exitSetup, "SWEEPER_HMAC_KEY: needed by sweep; create one with: openssl rand -hex 32", "sweep")
	refused(t, s.env, exitSetup, `no enabled category is called "nope"`, "plan --category nope", "sweep --category nope")
	refused(t, s.env, exitSetup, "--plan needs --category", "sweep --plan x")
	refused(t, s.env, exitSetup, `--as-of "noon" is not a time`, "plan --as-of noon")
	refused(t, s.env, exitSetup, `unknown flag: --form`, "plan --form x", "log verify --form x")
	refused(t, s.env, exitSetup, `invalid argument "x" for "-n, --lines" flag: write a whole number (see: sweeper log tail --help)`, "log tail -n x")
	refused(t, s.env, exitSetup, `"--from" flag: the number is too large (see: `, "log verify --from 99999999999999999999")
	refused(t, s.env, exitSetup, `"--all" flag: write true or false (see: `, "hold list --all=maybe")
	refused(t, s.env, exitSetup, `"-o, --output" flag: write table, json or csv (see: `, "status -o xml")
	refused(t, s.env, exitSetup, `sweeper has no verb "sweeep"; did you mean sweep`, "sweeep")
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("the database has changed:\n%s", diff)
	}
}

func TestRefusedEnvironment(t *testing.T) {
	t.Parallel()
	policies := "SWEEPER_POLICIES=" + policyFile(t, eventsPolicy)
	const write = "; write postgres://user:password@host:5432/database, or set libpq's PGHOST, PGUSER and PGDATABASE\n"
	key := "SWEEPER_HMAC_KEY=" + testKey
	for _, line := range append([]string{"sweep"}, readers...) {
		refused(t, []string{policies, key}, exitSetup, write, line)
	}
	refused(t, []string{policies}, exitSetup, "SWEEPER_INSTALL_URL: needed by install"+write, "install")
	refused(t, []string{policies}, exitSetup, "SWEEPER_INSTALL_URL: needed by uninstall"+write, "uninstall --yes")
	refused(t, []string{"SWEEPER_WORKERS=many"}, exitSetup, "SWEEPER_WORKERS: must be a whole number from 1 to 16, for example 2", "lint")
}

// A policy that is wrong, or does not fit the database, is shown with its line.
func TestRefusedPolicies(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL+`; create table app.bare (at timestamptz)`, eventsPolicy)
	before := s.fingerprint(t)
	replaced := func(old, by string) string { return strings.Replace(eventsPolicy, old, by, 1) }
	for name, tc := range map[string]struct {
		policy  string
		want    string // after the path of the file
		caret   bool
		offline bool // the files alone show it
	}{
		"unknown table":  {replaced("app.events", "app.evnts"), ":4:12: table app.evnts does not exist", true, false},
		"unknown column": {replaced("tenant: tenant", "tenant: tennant"), `:6:13: column "tennant" does not exist in app.events; did you mean "tenant"?`, true, false},
		"no identity":    {"version: 1\ncategories:\n  bare:\n    table: app.bare\n    start_from: at\n    delete: {after: P30D}\n", ":4:12: app.bare has no replica identity", true, false},
		"unknown key":    {replaced("subject: who", "subjet: who"), ":5:5: unknown key \"subjet\"; did you mean \"subject\"?", true, true},
		"empty":          {"", ": ", false, true},
		"huge":           {strings.Repeat("# 2 MiB of comment\n", 2<<20/19+1), " bytes; the limit is 1 MiB (1048576 bytes), split the file", false, true},
		"no period":      {replaced("P30D", "soon"), ":8:21: ", true, true},
	} {
		path := policyFile(t, tc.policy)
		lines := []string{"install", "install --print", "lint", "plan", "sweep"}
		if tc.offline {
			lines = append(lines, "lint --offline")
		}
		for _, line := range lines {
			got := s.try(t, strings.Fields(line), "SWEEPER_POLICIES="+path)
			shown := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
			if got.code != exitSetup || got.stdout != "" || !strings.HasPrefix(shown[0], path) || !strings.Contains(shown[0], tc.want) {
				t.Errorf("%s, %s: %+v", name, line, got)
			}
			if tc.caret != (len(shown) == 3 && strings.TrimSpace(shown[len(shown)-1]) == "^") || !tc.caret && len(shown) != 1 {
				t.Errorf("%s, %s: shown as\n%s", name, line, got.stderr)
			}
			if line == "lint" {
				t.Logf("%s:\n%s", name, strings.ReplaceAll(got.stderr, filepath.Dir(path)+"/", ""))
			}
		}
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	for _, line := range []string{"install", "lint", "plan", "sweep"} {
		if got := s.try(t, []string{line}, "SWEEPER_POLICIES="+missing); got != (outcome{exitSetup, "", missing + ": no such file or directory\n"}) {
			t.Errorf("%s without policies: %+v", line, got)
		}
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("the database has changed:\n%s", diff)
	}
}

// All errors of all files come at once.
func TestRefusedPoliciesTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": strings.Replace(eventsPolicy, "subject", "subjet", 1), "b.yaml": "version: 2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := try(t, nil, []string{"lint", dir})
	if got.code != exitSetup || !strings.Contains(got.stderr, "a.yaml:5:5: ") || !strings.Contains(got.stderr, "b.yaml:1:10: ") {
		t.Errorf("%+v", got)
	}
}
