package sweeper_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// bundle is a database with policies.
type bundle struct {
	db  *pgtest.DB
	cfg sweeper.Config
	set policy.Set
	log *slog.Logger
}

// setup makes a database with the tables of ddl and installs the policies.
func setup(t *testing.T, ddl, policies string, env ...string) *bundle {
	t.Helper()
	db := pgtest.Database(t)
	b := &bundle{db: db, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	db.Exec(t, ddl)
	cfg, _, err := sweeper.Load(append([]string{
		"SWEEPER_DATABASE_URL=" + db.URL("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + db.URL("sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + db.URL(""), "SWEEPER_SLOT=" + db.Slot(), "SWEEPER_HMAC_KEY=" + key, "SWEEPER_APPROVE=auto",
	}, env...))
	if err != nil {
		t.Fatal(err)
	}
	b.cfg = cfg
	b.set = load(t, policies)
	if _, err := sweeper.Install(t.Context(), cfg, b.log, b.set, false); err != nil {
		t.Fatalf("install: %v", err)
	}
	return b
}

func load(t *testing.T, policies string) policy.Set {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(path, []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(policy.Defaults{}, path)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// sweep sweeps once, and then verifies the whole log.
func (b *bundle) sweep(t *testing.T) map[string]purge.Outcome {
	t.Helper()
	outcomes, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Source: "test", Now: time.Now})
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	b.checkLog(t)
	byName := map[string]purge.Outcome{}
	for _, o := range outcomes {
		byName[o.Category] = o
	}
	return byName
}

func (b *bundle) checkLog(t *testing.T) {
	t.Helper()
	v, err := purgelog.Verify(t.Context(), b.db.Conn(t, ""), nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	for _, p := range v.Problems {
		t.Errorf("log: entry %d: %s", p.Seq, p.Text)
	}
}

func TestJourney(t *testing.T) {
	t.Parallel()
	b := setup(t, `
		create schema app;
		create table app.events (id bigint primary key, at timestamptz, tenant text, who text);
		create index on app.events (at);
		insert into app.events select i, now() - i * interval '1 hour', 't' || i % 3, 'u' || i % 100 from generate_series(1, 20000) i`,
		strings.TrimSpace(`
version: 1
categories:
  events:
    table: app.events
    subject: who
    tenant: tenant
    start_from: at
    delete: {after: P365D}
`)+"\n")
	o := b.sweep(t)["events"]
	t.Logf("%+v", o)
	if o.State != purge.Succeeded || o.Deleted < 11000 {
		t.Errorf("got %s, %d rows", o.State, o.Deleted)
	}
}
