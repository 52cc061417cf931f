package modeltest_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// site is the database of a seed, and the processes over it.
type site struct {
	*world
	t       *testing.T
	db      *pgtest.DB
	witness *pgtest.Witness
	app     *pgx.Conn
	file    string // of the policies
	env     []string
	two     [2]*replica
	sweeps  []*pgtest.Process
	beside  sync.WaitGroup // what goes on beside the operations

	mu  sync.Mutex     // guards what follows
	did map[string]int // by kind of operation, how often it was done
}

// replica is one of the two processes; it is started anew when it has ended.
type replica struct {
	kind string
	p    *pgtest.Process // nil: none runs yet
	arm  string          // the point at which it may die
	ends bool            // it was told to end
	seen bool            // how it has ended was judged
}

// roles serialises what PostgreSQL does badly at once: grants of one role.
var roles sync.Mutex

// newSite makes the tables and the witness. Nothing is installed yet.
func newSite(t *testing.T, w *world) *site {
	t.Helper()
	s := &site{world: w, t: t, db: pgtest.Database(t), file: filepath.Join(t.TempDir(), "policies.yaml"), did: map[string]int{}}
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"SWEEPER_DATABASE_URL=" + s.db.URL("sweeper_daemon"), "SWEEPER_REPLICATION_URL=" + s.db.URL("sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + s.db.URL(""), "SWEEPER_SLOT=" + s.db.Slot(), "SWEEPER_HMAC_KEY=" + key, "SWEEPER_POLICIES=" + s.file,
		"SWEEPER_LOG_LEVEL=warn", "SWEEPER_HTTP_ADDR=off",
	}, w.env...)
	if !w.manual {
		s.env = append(s.env, "SWEEPER_APPROVE=auto")
	}
	s.app = s.db.Conn(t, "")
	s.must(`do $$ begin create role model_owner nologin; exception when duplicate_object or unique_violation then null; end $$`)
	s.must(`create schema app; create table app.said (what text)`)
	for _, sql := range w.schema {
		s.must(sql)
	}
	s.must(`alter schema app owner to model_owner; do $$ declare r regclass; begin
		for r in select oid from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') loop execute format('alter table %s owner to model_owner', r); end loop;
		end $$`)
	s.must(`set lock_timeout = '3s'; set statement_timeout = '20s'`)
	s.witness = pgtest.Truth(t, s.db)
	s.write(w.sets[1])
	return s
}

func (s *site) must(sql string) {
	s.t.Helper()
	if _, err := s.app.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("run %q: %v", sql, err)
	}
}

// write puts a policy file in the place of the one that is there.
func (s *site) write(set *policySet) {
	s.t.Helper()
	next := s.file + ".new"
	err := os.WriteFile(next, []byte(set.yaml()), 0o600)
	if err == nil {
		err = os.Rename(next, s.file)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// text is the one value of a query, as text; NULL is "".
func (s *site) text(sql string, args ...any) string {
	s.t.Helper()
	if v := pgtest.QueryOne[*string](s.t, s.app, "select ("+sql+")::text", args...); v != nil {
		return *v
	}
	return ""
}

// start starts the binary.
func (s *site) start(env []string, args ...string) *pgtest.Process {
	s.t.Helper()
	return pgtest.Start(s.t.Context(), s.t, slices.Concat(s.env, env), args...)
}

// play does the operations of the seed.
func (s *site) play() {
	s.t.Helper()
	for _, o := range s.ops {
		s.pause(o.wait)
		s.one(o)
	}
	s.settle()
}

// pause lets time pass: the operations come at their own pace.
func (s *site) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.t.Context().Done():
	}
}

func (s *site) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did[what]++
}

// one does one operation.
func (s *site) one(o op) {
	s.t.Helper()
	s.tend()
	switch o.kind {
	case "start":
		s.install()
	case "sweep":
		s.sweeps = slices.DeleteFunc(s.sweeps, s.over)
		if len(s.sweeps) < 2 {
			s.sweeps = append(s.sweeps, s.start(nil, "sweep"))
			s.count(o.kind)
		}
	case "kill", "freeze", "terminate", "arm":
		s.disturb(o)
	case "policy":
		s.write(s.sets[o.n])
		for _, r := range s.two {
			if r.kind == "run" {
				r.p.Signal(syscall.SIGHUP)
			}
		}
		s.count(o.kind)
	case "lock":
		s.beside.Go(func() { s.lock(o) })
	case "approve":
		s.sql(o.kind, `select sweeper.approve_run(category, plan_hash, 'model', 'test') from
			(select distinct on (category) * from sweeper.runs order by category, started_at desc) r where state = 'awaiting_approval'`)
	case "hold", "holds", "release", "window", "backend":
		s.sql(o.kind, o.sql)
	default:
		s.sql(o.kind, `insert into app.said values ('`+o.kind+`'); `+o.sql)
	}
}

// sql runs an operation of the application or of an operator. It may be in vain:
// a lock was not to be had in time, there is no hold to release.
func (s *site) sql(kind, sql string) {
	s.t.Helper()
	_, err := s.app.Exec(s.t.Context(), sql)
	var refused *pgconn.PgError
	switch {
	case err == nil:
		s.count(kind)
	case !errors.As(err, &refused) || strings.HasPrefix(refused.Code, "42"):
		s.t.Fatalf("%s: %v", sql, err)
	default:
		s.count(kind + ", in vain (" + refused.Code + ")")
	}
}

// lock keeps rows or a table locked for a while.
func (s *site) lock(o op) {
	ctx := context.WithoutCancel(s.t.Context())
	conn, err := pgx.Connect(ctx, s.db.URL(""))
	if err != nil {
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "set lock_timeout = '1s'; begin; "+o.sql); err != nil {
		return
	}
	s.pause(o.d)
	_, _ = conn.Exec(ctx, "rollback")
	s.count(o.kind)
}

// install installs the product and starts the replicas.
func (s *site) install() {
	s.t.Helper()
	roles.Lock()
	e := s.start(nil, "install").End()
	if e.Code == 0 && e.Signal == 0 {
		s.must(`grant model_owner to sweeper_owner`)
	}
	roles.Unlock()
	if e.Code != 0 || e.Signal != 0 {
		s.t.Fatalf("install ended with %s", e)
	}
	for i := range s.two {
		if s.replicas[i] != "" {
			s.two[i] = &replica{kind: s.replicas[i]}
		}
	}
	if s.two[0] == nil {
		return
	}
	s.two[0].arm = s.armed
	s.tend()
	pgtest.Eventually(s.t, "a run has begun", func() bool {
		s.tend() // it may have died before
		return s.text(`select exists (select from sweeper.runs)`) == "true"
	})
}

// tend starts what has ended and should run.
func (s *site) tend() {
	s.t.Helper()
	for _, r := range s.two {
		if r == nil || r.p != nil && !r.p.EndWithin(0) {
			continue
		}
		if r.p != nil && !r.seen {
			s.ended(r)
		}
		if r.p == nil || r.kind == "run" || s.early() { // else a sweep is started by the next operation that concerns it
			s.launch(r)
		}
	}
}

// early tells that nothing was swept yet.
func (s *site) early() bool { return s.text(`select exists (select from sweeper.runs)`) == "false" }

// launch starts a replica.
func (s *site) launch(r *replica) {
	s.t.Helper()
	var env []string
	if r.arm != "" {
		env = []string{"SWEEPER_FAILPOINT=" + r.arm}
	}
	r.p, r.ends, r.seen = s.start(env, r.kind), false, false
}

// ended judges how a replica has ended that nobody asked to.
func (s *site) ended(r *replica) {
	s.t.Helper()
	r.seen = true
	e := r.p.End()
	point, _, _ := strings.Cut(r.arm, ":")
	switch {
	case r.arm != "" && e.At(point):
		s.count("kills at " + point)
		r.arm = ""
	case r.ends, e.Signal == syscall.SIGHUP: // that came before it listened to it
	case r.kind == "run":
		s.t.Errorf("a daemon that nobody killed ended with %s", e)
	default:
		s.tolerable(e)
	}
}

// over tells whether a sweep has ended, and judges how.
func (s *site) over(p *pgtest.Process) bool {
	if !p.EndWithin(0) {
		return false
	}
	s.tolerable(p.End())
	return true
}

// tolerable refuses endings of a sweep that nothing explains which happens to
// it: due rows remain, another process is at work, a backend was ended, a run
// waits for its approval.
func (s *site) tolerable(e pgtest.Ending) {
	s.t.Helper()
	if e.Signal != 0 || !slices.Contains([]int{0, 1, 4, 6}, e.Code) || strings.Contains(e.Stderr, "panic") {
		s.t.Errorf("a sweep that nobody killed ended with %s", e)
	}
}

// disturb kills, freezes or ends a replica, or arms it.
func (s *site) disturb(o op) {
	s.t.Helper()
	r := s.two[o.n]
	if r.p.EndWithin(0) {
		s.launch(r)
		s.pause(o.wait)
	}
	switch o.kind {
	case "kill":
		if _, killed := r.p.Kill(); killed {
			s.count("kills")
		}
	case "arm":
		r.p.Kill()
		r.arm = o.sql
	case "terminate":
		r.p.Signal(syscall.SIGTERM)
		r.ends = true
		s.count("terms")
		return
	case "freeze":
		p := r.p
		p.Signal(syscall.SIGSTOP)
		s.beside.Go(func() {
			s.pause(o.d)
			p.Signal(syscall.SIGCONT)
		})
		s.count("freezes")
		return
	}
	s.launch(r)
}

// settle ends everything that goes on, and has one last sweep do the rest.
func (s *site) settle() {
	s.t.Helper()
	s.beside.Wait()
	for _, r := range s.two {
		if r == nil {
			continue
		}
		s.end(r.p, r.kind == "run" && r.arm == "")
	}
	for _, p := range s.sweeps {
		p.MustEnd(s.t)
		s.tolerable(p.End())
	}
	pgtest.Eventually(s.t, "no hold is about to expire", func() bool {
		return s.text(`select count(*) from sweeper.legal_holds where released_at is null and expires_at > clock_timestamp()`) == "0"
	})
	pgtest.Eventually(s.t, "no advisory lock and no transaction of a dead process is left", func() bool {
		return s.text(`select (select count(*) from pg_locks where locktype = 'advisory' and classid = 1398228304 and database = (select oid from pg_database where datname = current_database()))
			+ (select count(*) from pg_stat_activity where datname = current_database() and application_name like 'sweeper%' and (state like 'idle in transaction%' or xact_start is not null))`) == "0"
	})
}

// end asks a replica to end; alive: it must still be there, and do so in peace.
func (s *site) end(p *pgtest.Process, alive bool) {
	s.t.Helper()
	p.Signal(syscall.SIGTERM)
	if !p.EndWithin(40 * time.Second) {
		p.Signal(syscall.SIGQUIT)
		s.t.Fatalf("a process does not end after SIGTERM: %s", p.End())
	}
	early := []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} // came before it listened to them
	if e := p.End(); alive && !slices.Contains(early, e.Signal) && (e.Code != 0 || e.Signal != 0) {
		s.t.Errorf("a process ended after SIGTERM with %s", e)
	}
}

// secret is the key of the row commitments.
func secret() []byte {
	b, err := hex.DecodeString(key)
	if err != nil {
		panic(err)
	}
	return b
}
