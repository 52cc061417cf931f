package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

const testKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// eventsDDL has 1000 rows, one an hour, of which those older than 30 days are
// 281: more than the fifth that goes without approval.
const eventsDDL = `
	create schema app;
	create table app.events (id bigint primary key, at timestamptz, tenant text, who text);
	create index on app.events (at);
	insert into app.events select i, now() - i * interval '1 hour', 't' || i % 3, 'u' || i % 100 from generate_series(1, 1000) i`

const (
	eventsDue    = 281
	eventsPolicy = `version: 1
categories:
  events:
    table: app.events
    subject: who
    tenant: tenant
    start_from: at
    delete: {after: P30D}
`
)

// site is a database with policies, and the environment of a command line.
type site struct {
	db       *pgtest.DB
	policies string // the path of the file
	env      []string
}

// newSite makes a database with the tables of ddl. Nothing is installed.
func newSite(t *testing.T, ddl, policies string) *site {
	t.Helper()
	db := pgtest.Database(t)
	if ddl != "" {
		db.Exec(t, ddl)
	}
	s := &site{db: db, policies: policyFile(t, policies)}
	s.env = []string{
		"SWEEPER_DATABASE_URL=" + db.URL("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + db.URL("sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + db.URL(""), "SWEEPER_SLOT=" + db.Slot(), "SWEEPER_HMAC_KEY=" + testKey,
		"SWEEPER_POLICIES=" + s.policies,
	}
	return s
}

// installed is newSite with everything installed.
func installed(t *testing.T, ddl, policies string) *site {
	t.Helper()
	s := newSite(t, ddl, policies)
	s.must(t, "install")
	return s
}

func policyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// try runs one command line. Of extra variables and the site's the extra count.
func (s *site) try(t *testing.T, args []string, extra ...string) outcome {
	t.Helper()
	return try(t, append(slices.Clone(extra), s.env...), args)
}

// must runs a command line that has to end well.
func (s *site) must(t *testing.T, args ...string) outcome {
	t.Helper()
	got := s.try(t, args)
	if got.code != exitDone {
		t.Fatalf("%q: exit code %d\n%s%s", args, got.code, got.stdout, got.stderr)
	}
	return got
}

// objects parses JSON output: one document, an array of objects.
func objects(t *testing.T, got outcome) []map[string]any {
	t.Helper()
	var rows []map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil {
		t.Fatalf("%v in %q (stderr %q)", err, got.stdout, got.stderr)
	}
	return rows
}

// keys are the fields of an object as they stand in the output, sorted.
func keys(row map[string]any) string {
	var names []string
	for name := range row {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// fields sorts the words of a list, to compare with keys.
func fields(list string) string {
	names := strings.Fields(list)
	slices.Sort(names)
	return strings.Join(names, " ")
}

// fingerprint sums up a database: its objects, by kind, and the rows of each
// table outside of the catalogue.
func (s *site) fingerprint(t *testing.T) map[string]int64 {
	t.Helper()
	return fingerprint(t, s.db.Conn(t, ""))
}

func fingerprint(t *testing.T, conn *pgx.Conn) map[string]int64 {
	t.Helper()
	sum := map[string]int64{}
	for what, sql := range map[string]string{
		"relations":    `select count(*) from pg_class`,
		"functions":    `select count(*) from pg_proc`,
		"schemas":      `select count(*) from pg_namespace`,
		"publications": `select count(*) from pg_publication`,
		"members":      `select count(*) from pg_publication_rel`,
		"slots":        `select count(*) from pg_replication_slots where database = current_database()`,
		// Other tests make and drop roles, which the whole server shares.
		"roles": `select count(*) from pg_roles where starts_with(rolname, current_database() || '_')`,
	} {
		sum[what] = pgtest.QueryOne[int64](t, conn, sql)
	}
	rows, _ := conn.Query(t.Context(), `select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		sum["rows of "+table] = pgtest.QueryOne[int64](t, conn, "select count(*) from "+table)
	}
	return sum
}
