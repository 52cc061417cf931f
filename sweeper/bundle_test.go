package sweeper_test

import (
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

func TestMain(m *testing.M) {
	pgtest.Crowd()
	pgtest.Main(m)
}

const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// bundle is a database with policies, installed.
type bundle struct {
	db    *pgtest.DB
	admin *pgx.Conn
	cfg   sweeper.Config
	set   policy.Set
	log   *slog.Logger
}

// setup makes a database with the tables of ddl and installs the policies; it
// sweeps with the roles that a user would.
func setup(t *testing.T, ddl, policies string, env ...string) *bundle {
	t.Helper()
	return setupWith(t, ddl, policies, nil, env...)
}

// setupWith changes the categories that were read from the policies.
func setupWith(t *testing.T, ddl, policies string, change func(c *policy.Category), env ...string) *bundle {
	t.Helper()
	db := pgtest.Database(t)
	b := &bundle{db: db, admin: db.Conn(t, ""), log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	db.Exec(t, ddl)
	cfg, _, err := sweeper.Load(append([]string{
		"SWEEPER_DATABASE_URL=" + db.URL("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + db.URL("sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + db.URL(""), "SWEEPER_SLOT=" + db.Slot(), "SWEEPER_HMAC_KEY=" + key, "SWEEPER_APPROVE=auto",
	}, env...))
	if err != nil {
		t.Fatal(err)
	}
	b.cfg, b.set = cfg, load(t, policies)
	for i := range b.set.Categories {
		if change != nil {
			change(&b.set.Categories[i])
		}
	}
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

// checkLog verifies the whole log from its rows, in Go and in SQL, and that it
// has no mismatch.
func (b *bundle) checkLog(t *testing.T) {
	t.Helper()
	pgtest.CheckLog(t, b.admin)
	if got := b.text(t, `select string_agg(reference, '; ') from sweeper.purge_log where kind = 'mismatch'`); got != "" {
		t.Errorf("the log has mismatches: %s", got)
	}
}

// text is the one value of a query, as text; NULL is "".
func (b *bundle) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	if s := pgtest.QueryOne[*string](t, b.admin, "select ("+sql+")::text", args...); s != nil {
		return *s
	}
	return ""
}

// commitments checks that the log holds the commitment of the row of relation
// whose key is given as column, text, column, text, in key order.
func (b *bundle) commitments(t *testing.T, relation string, fields ...string) {
	t.Helper()
	secret, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	id := proof.AppendField(nil, []byte(relation))
	for _, f := range fields {
		id = proof.AppendField(id, []byte(f))
	}
	want := proof.NewCommitter(secret).Commit(id)
	found := pgtest.QueryOne[bool](t, b.admin, `select coalesce(bool_or(position($1::bytea in commitments) % 32 = 1), false) from sweeper.purge_rows join sweeper.purge_log using (seq) where relation = $2`, want[:], relation)
	if !found {
		t.Errorf("the log of %s has no commitment to the row with key %q", relation, fields)
	}
}

// logTo is a log that a test reads.
func logTo(b *buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelInfo}))
}
