package purge_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var key = []byte("0123456789abcdef0123456789abcdef")

// bundle is a database with policies, and a clock that the test sets.
type bundle struct {
	db    *pgtest.DB
	admin *pgx.Conn
	set   policy.Set
	log   *slog.Logger
}

func setup(t *testing.T, ddl, policies string) *bundle {
	t.Helper()
	return setupWith(t, ddl, policies, nil)
}

// setupWith changes the categories that were read from the policies.
func setupWith(t *testing.T, ddl, policies string, change func(c *policy.Category)) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.Database(t), log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	b.admin = b.db.Conn(t, "")
	b.db.Exec(t, ddl)
	b.policies(t, policies)
	for i := range b.set.Categories {
		if change != nil {
			change(&b.set.Categories[i])
		}
	}
	b.install(t)
	return b
}

// install installs the policies, as a person would after each change of them.
func (b *bundle) install(t *testing.T) {
	t.Helper()
	cfg, _, err := sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + b.db.URL(""), "SWEEPER_SLOT=" + b.db.Slot()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sweeper.Install(t.Context(), cfg, b.log, b.set, false); err != nil {
		t.Fatalf("install: %v", err)
	}
}

// policies loads another set, as a reload would.
func (b *bundle) policies(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(policy.Defaults{}, path)
	if err != nil {
		t.Fatal(err)
	}
	b.set = set
}

func (b *bundle) plan(t *testing.T, asOf time.Time) *plan.Plan {
	t.Helper()
	conn, err := pg.Connect(t.Context(), b.db.URL("sweeper_daemon"), "sweeper plan")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	return b.planOver(t, conn, asOf, untouched)
}

// planOver is plan over a catalogue that see has changed.
func (b *bundle) planOver(t *testing.T, conn *pgx.Conn, asOf time.Time, see func(*catalog.Table)) *plan.Plan {
	t.Helper()
	cat, err := catalog.Read(t.Context(), conn, plan.Tables(b.set))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range cat.Tables {
		see(table)
	}
	rows, err := conn.Query(t.Context(), `select category, tenant, (extract(year from retention) * 12 + extract(month from retention))::int, extract(day from retention)::int from sweeper.tenant_retention order by 1, 2`)
	if err != nil {
		t.Fatal(err)
	}
	windows, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w plan.Window, err error) {
		return w, row.Scan(&w.Category, &w.Tenant, &w.Retention.Months, &w.Retention.Days)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Build(b.set, cat, plan.Options{AsOf: asOf, BatchRows: 1000, Publication: "sweeper", HMACKey: key, Windows: windows})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// options are those of a sweep, changed.
func (b *bundle) options(change ...func(*purge.Options)) purge.Options {
	o := purge.Options{
		BatchRows: 1000, BatchTarget: 250 * time.Millisecond, Workers: 2, LockTimeout: 10 * time.Second, StatementTimeout: 30 * time.Second,
		AutoApprove: true, Reason: "manual", Actor: "test", Log: b.log, Now: time.Now,
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

// pool is one as the purging role has it; who asks for it closes it.
func (b *bundle) pool(t *testing.T, size int) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Pool(t.Context(), b.db.URL("sweeper_daemon"), "sweeper", size)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// run sweeps as the daemon, judging by asOf, and gives the outcomes by
// category.
func (b *bundle) run(t *testing.T, asOf time.Time, change ...func(*purge.Options)) map[string]purge.Outcome {
	t.Helper()
	o := b.options(change...)
	pool := b.pool(t, 4)
	defer pool.Close()
	byName := map[string]purge.Outcome{}
	for _, out := range purge.Run(t.Context(), pool, b.plan(t, asOf), o) {
		byName[out.Category] = out
		if out.Err != nil {
			t.Errorf("run of %s: %v", out.Category, out.Err)
		}
	}
	return byName
}

func (b *bundle) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	s := pgtest.QueryOne[*string](t, b.admin, "select ("+sql+")::text", args...)
	if s == nil {
		return ""
	}
	return *s
}

// one is a policy set with one category over app.events.
func one(zone, body string) string {
	return fmt.Sprintf("version: 1\ntimezone: %s\ncategories:\n  events:\n    table: app.events\n    subject: who\n    start_from: at\n%s", zone, body)
}

// quiet is for tests in which warnings are what is expected.
var quiet = slog.New(slog.DiscardHandler)
