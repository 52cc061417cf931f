package purge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// keySet reads the set of held keys into so many bytes.
func keySet(t *testing.T, conn *pgx.Conn, size int) (version string, bits []byte) {
	t.Helper()
	q := plan.HeldKeys()
	rows, err := conn.Query(t.Context(), q.SQL, q.Args...)
	if err != nil {
		t.Fatal(err)
	}
	bits = make([]byte, size)
	var v *string
	var hash *int64
	if _, err := pgx.ForEachRow(rows, []any{&v, &hash}, func() error {
		if v != nil {
			version = *v
		} else {
			bit := uint64(*hash) % uint64(8*size)
			bits[bit/8] |= 1 << (bit % 8)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return version, bits
}

// TestBatchesGoByTheSetOfKeys purges with every set that a batch can have: that of
// the keys as they are, one in which every value seems to be held, one of another
// version in which none does, or an empty one, and none. What goes is the same. One
// of the same version in which none does, or an empty one, lets go what only a look
// at the holds would keep, so the set is what is gone by; but not where texts do not
// tell.
func TestBatchesGoByTheSetOfKeys(t *testing.T) {
	t.Parallel()
	const other = "11111111-1111-1111-1111-111111111111"
	types := map[string]struct{ typ, a, b, t, u string }{
		"text":    {"text", "a", "b", "t", "u"},
		"varchar": {"varchar(9)", "a", "b", "t", "u"},
		"uuid":    {"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a14"},
		"bigint":  {"int8", "-7", "8", "9", "10"},
		"citext":  {"public.citext", "A", "b", "T", "u"},
		"numeric": {"numeric", "1.0", "2.0", "3.0", "4.0"},
	}
	// Rows: 1 a t, 2 b t, 3 a and no tenant, 4 no subject and t, 5 neither, 6 a u, 7 b u.
	shapes := []struct{ name, hold, left, lied string }{
		{"none", ``, "", ""},
		{"subject", `select sweeper.apply_hold('%[1]s', 'case', 'test')`, "1 3 6", ""},
		{"tenant", `select sweeper.apply_hold(null, 'case', 'test', tenant => '%[2]s')`, "1 2 4", ""},
		{"subject and tenant", `select sweeper.apply_hold('%[1]s', 'case', 'test', tenant => '%[2]s')`, "1 3", ""},
		{"subject of the category", `select sweeper.apply_hold('%[1]s', 'case', 'test', category => 'events')`, "1 3 6", ""},
		{"subject of another category", `select sweeper.apply_hold('%[1]s', 'case', 'test', category => 'others')`, "", ""},
		{"category", `select sweeper.apply_hold(null, 'case', 'test', category => 'events')`, "1 2 3 4 5 6 7", "1 2 3 4 5 6 7"},
		{"released", `select sweeper.release_hold(sweeper.apply_hold('%[1]s', 'case', 'test'), 'closed', 'test')`, "", ""},
		{"expired", `insert into sweeper.legal_holds (subject, reason, applied_by, expires_at) values ('%[1]s', 'case', 'test', now() - interval '1 second')`, "", ""},
	}
	for name, c := range types {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, fmt.Sprintf(`create extension citext schema public; create schema app;
				create table app.events (id int primary key, at timestamptz, who %[1]s, org %[1]s);
				create table app.others (id int primary key, at timestamptz, who %[1]s);
				insert into app.events values (1, '2015-01-01', '%[2]s', '%[4]s'), (2, '2015-01-01', '%[3]s', '%[4]s'), (3, '2015-01-01', '%[2]s', null), (4, '2015-01-01', null, '%[4]s'), (5, '2015-01-01', null, null), (6, '2015-01-01', '%[2]s', '%[5]s'), (7, '2015-01-01', '%[3]s', '%[5]s')`,
				c.typ, c.a, c.b, c.t, c.u),
				`version: 1
categories:
  events: {table: app.events, subject: who, tenant: org, start_from: at, delete: {after: P5Y}}
  others: {table: app.others, subject: who, start_from: at, delete: {after: P5Y}}
`)
			daemon := b.db.Conn(t, "sweeper_daemon")
			var step plan.Step
			for _, category := range b.plan(t, in2026).Categories() {
				if category.Policy.Name == "events" {
					step = category.Steps[0]
				}
			}
			for _, shape := range shapes {
				if shape.hold != "" {
					sql := shape.hold
					if strings.Contains(sql, "%[") {
						sql = strings.NewReplacer("%[1]s", c.a, "%[2]s", c.t).Replace(sql)
					}
					b.db.Exec(t, sql)
				}
				version, fresh := keySet(t, daemon, 1<<10)
				lied := shape.lied
				if name == "citext" || name == "numeric" {
					lied = shape.left
				}
				for set, s := range map[string]struct {
					version, bits any
					left          string
				}{
					"as it is":        {version, fresh, shape.left},
					"all held":        {version, []byte(strings.Repeat("\xff", 1<<10)), shape.left},
					"older":           {other, make([]byte, 1<<10), shape.left},
					"none":            {nil, nil, shape.left},
					"without bits":    {version, nil, shape.left},
					"without version": {nil, make([]byte, 1<<10), shape.left},
					"false":           {version, make([]byte, 1<<10), lied},
					"older and empty": {other, []byte{}, shape.left},
					"false and empty": {version, []byte{}, lied},
				} {
					if got := purgedBy(t, daemon, &step, s.version, s.bits); got != [2]string{s.left, s.left} {
						t.Errorf("%s, set %q: left are %q by a batch, and by one that locks first, want %q", shape.name, set, got, s.left)
					}
				}
				b.db.Exec(t, `select sweeper.release_hold(hold_id, 'closed', 'test') from sweeper.legal_holds where released_at is null`)
			}
		})
	}
}

// purgedBy tells which rows are left by the statements of a step, of which one
// waits for locks and one has taken them, and takes it back.
func purgedBy(t *testing.T, conn *pgx.Conn, step *plan.Step, version, bits any) (left [2]string) {
	t.Helper()
	const run = "00000000-0000-0000-0000-000000000000"
	for i := range left {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		q, args := step.Batch.With(version, bits), []any{"(0,0)", "(1000,0)", run}
		if i == 1 {
			lock := step.Lock.With(version, bits)
			var places []string
			var locked int
			if err := tx.QueryRow(t.Context(), lock.SQL, append([]any{"(0,0)", "(1000,0)"}, lock.Args...)...).Scan(&places, &locked); err != nil {
				t.Fatal(err)
			}
			q, args = step.Taken.With(version, bits), []any{places, run}
		}
		_, err = tx.Exec(t.Context(), q.SQL, append(args, q.Args...)...)
		if err == nil {
			err = tx.QueryRow(t.Context(), `select coalesce(string_agg(id::text, ' ' order by id), '') from app.events`).Scan(&left[i])
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return left
}

// behind places a hold as nobody can but a superuser: with the triggers off, so
// that the set of keys keeps its version.
func (b *bundle) behind(t *testing.T, subject string) {
	t.Helper()
	b.db.Exec(t, fmt.Sprintf(`alter table sweeper.legal_holds disable trigger user; alter table sweeper.hold_keys disable trigger user;
		insert into sweeper.legal_holds (subject, reason, applied_by) values ('%[1]s', 'case', 'test');
		insert into sweeper.hold_keys (hold_id, part, type, value) select hold_id, 'subject', 'text', subject from sweeper.legal_holds where subject = '%[1]s';
		alter table sweeper.legal_holds enable always trigger fence, enable always trigger fence_truncate, enable always trigger keep, enable always trigger note;
		alter table sweeper.hold_keys enable always trigger fence, enable always trigger fence_truncate, enable always trigger keep, enable always trigger version`, subject))
}

// TestRunGoesByItsSet has holds come between the batches of a run that has read the
// keys. One that comes as holds do is honoured by the next batch. One that gives
// the set no other version goes unseen, which shows that the run goes by its set;
// after the first kind it is seen, since the batches look at the holds again, until
// the set has been read anew. A hold that is taken back, and a release, are none.
func TestRunGoesByItsSet(t *testing.T) {
	t.Parallel()
	apply := func(t *testing.T, b *bundle) { b.db.Exec(t, `select sweeper.apply_hold('u550', 'case', 'test')`) }
	behind := func(t *testing.T, b *bundle) { b.behind(t, "u560") }
	nothing := func(*testing.T, *bundle) {}
	type event = func(t *testing.T, b *bundle)
	for name, c := range map[string]struct {
		between []event // before the first batch, after it, after the second, …
		anew    bool    // the set may be read anew at any time
		left    string
	}{
		"a hold":                        {[]event{nothing, apply}, false, "540 550"},
		"a hold, the set read anew":     {[]event{nothing, apply}, true, "540 550"},
		"behind its back":               {[]event{nothing, behind}, false, "540"},
		"behind its back, after a hold": {[]event{nothing, apply, nothing, behind}, false, "540 550 560"},
		"behind its back, after a hold and the set read anew": {[]event{nothing, apply, nothing, behind}, true, "540 550"},
		"behind its back, after a hold that was taken back": {[]event{nothing, func(t *testing.T, b *bundle) {
			b.db.Exec(t, `begin; select sweeper.apply_hold('u550', 'case', 'test'); rollback`)
		}, behind}, false, "540"},
		"behind its back, after a release": {[]event{func(t *testing.T, b *bundle) {
			b.db.Exec(t, `select sweeper.apply_hold('u550', 'case', 'test')`)
		}, func(t *testing.T, b *bundle) {
			b.db.Exec(t, `select sweeper.release_hold(hold_id, 'closed', 'test') from sweeper.legal_holds`)
		}, behind}, false, ""},
		"the first hold of all":               {[]event{nothing, apply}, false, "550"},
		"the first of all, behind its back":   {[]event{nothing, behind}, false, ""},
		"behind the first, the set read anew": {[]event{nothing, apply, nothing, behind}, true, "550"},
		"behind its back, without a version":  {[]event{func(t *testing.T, b *bundle) { b.db.Exec(t, `delete from sweeper.hold_version`) }, behind}, false, "540 560"},
		"a hold, without a version":           {[]event{func(t *testing.T, b *bundle) { b.db.Exec(t, `delete from sweeper.hold_version`) }, apply}, true, "540 550"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `create schema app; create table app.events (id int primary key, at timestamptz, who text); create index on app.events (at);
				insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 minute', 'u' || i from generate_series(1, 600) i`,
				one("UTC", "    delete: {after: P5Y}\n"))
			if strings.Contains(c.left, "540") {
				b.db.Exec(t, `select sweeper.apply_hold('u540', 'case', 'test')`)
			}
			c.between[0](t, b)
			now, asked, committed := in2026, 0, 0
			b.run(t, in2026, func(o *purge.Options) {
				o.BatchRows, o.Workers = 100, 1
				o.Now = func() time.Time { // to read the set takes an hour, and what comes later no time; or each thing twice as long as the one before
					switch asked++; {
					case c.anew:
						now = now.Add(1 << min(asked, 50))
					case asked < 20:
						now = now.Add(time.Hour)
					}
					return now
				}
				o.Batched = func(purge.Batch) {
					if committed++; committed < len(c.between) {
						c.between[committed](t, b)
					}
				}
			})
			if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.events`); got != c.left || committed != 6 {
				t.Errorf("after %d batches left are %q, want %q", committed, got, c.left)
			}
		})
	}
}

// TestManyHolds has a due row of each of many holds, and of as many who are on
// none, of whom some have the bit of a key.
func TestManyHolds(t *testing.T) {
	t.Parallel()
	const holds = 20_000
	b := setup(t, fmt.Sprintf(`create schema app; create table app.events (id int primary key, at timestamptz, who text, org text); create index on app.events (at);
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 minute', case when i %% 2 = 0 then 'held' else 'free' end || i, 'o' || i from generate_series(1, %d) i`, 2*holds),
		"version: 1\ncategories:\n  events: {table: app.events, subject: who, tenant: org, start_from: at, delete: {after: P5Y}}\n")
	b.manyHolds(t, 2*holds)
	o := b.run(t, in2026)["events"]
	if got := b.text(t, `select format('%s held, %s free', count(*) filter (where who like 'held%'), count(*) filter (where who like 'free%')) from app.events`); got != fmt.Sprintf("%d held, 0 free", holds) || o.Held != holds {
		t.Errorf("left are %s, and the outcome is %+v", got, o)
	}
}

// manyHolds places a hold on the subject heldN for every N, and one in a hundred of
// them on a tenant instead, in the way of a superuser: trigger by trigger it takes
// minutes.
func (b *bundle) manyHolds(t *testing.T, n int) {
	t.Helper()
	b.db.Exec(t, fmt.Sprintf(`alter table sweeper.legal_holds disable trigger user; alter table sweeper.hold_keys disable trigger user;
		insert into sweeper.legal_holds (subject, tenant, reason, applied_by) select case when i %% 100 > 0 then 'held' || i end, case when i %% 100 = 0 then 'o' || i end, 'case', 'test' from generate_series(1, %d) i;
		insert into sweeper.hold_keys (hold_id, part, type, value) select h.hold_id, k.part, 'text', coalesce(h.subject, h.tenant) from sweeper.legal_holds h cross join lateral (select case when h.subject is null then 'tenant' else 'subject' end as part) k;
		alter table sweeper.legal_holds enable always trigger fence, enable always trigger fence_truncate, enable always trigger keep, enable always trigger note;
		alter table sweeper.hold_keys enable always trigger fence, enable always trigger fence_truncate, enable always trigger keep, enable always trigger version;
		analyze sweeper.legal_holds; analyze sweeper.hold_keys`, n))
}

// TestManyHoldsAreNotReadByEachBatch looks at the plans of the statements of a
// batch beside many holds, with a set of their keys and without: none reads all of
// the holds, or of their keys.
func TestManyHoldsAreNotReadByEachBatch(t *testing.T) {
	t.Parallel()
	const nobody = "00000000-0000-0000-0000-000000000000"
	b := setup(t, `create schema app;
		create table app.events (id int primary key, at timestamptz, who text, org text); create index on app.events (at);
		create table app.heap (id int primary key, at timestamptz, who text, org text);
		create table app.kids (id int primary key, event int references app.heap, who text, at timestamptz); create index on app.kids (event);
		insert into app.events select i, '2015-01-01'::timestamptz + i * interval '1 minute', 'u' || i, 'o' || i from generate_series(1, 20000) i;
		insert into app.heap select * from app.events; insert into app.kids select i, i, 'u' || i, '2015-01-01' from generate_series(1, 20000) i;`,
		`version: 1
categories:
  events: {table: app.events, subject: who, tenant: org, start_from: at, delete: {after: P5Y}}
  kids: {table: app.kids, subject: who, start_from: at, delete: {after: P5Y}}
  heap:
    table: app.heap
    subject: who
    tenant: org
    start_from: at
    delete: {after: P5Y}
    children:
      - {table: app.kids, match: {event: id}}
`)
	b.manyHolds(t, 50_000)
	b.db.Exec(t, `analyze app.events; analyze app.heap; analyze app.kids`)
	daemon := b.db.Conn(t, "sweeper_daemon")
	if _, err := daemon.Exec(t.Context(), `set plan_cache_mode = force_custom_plan`); err != nil {
		t.Fatal(err)
	}
	version, bits := keySet(t, daemon, 1<<16)
	places := make([]string, 10_000)
	for i := range places {
		places[i] = fmt.Sprintf("(%d,%d)", i/100, i%100+1)
	}
	leaves, tenants := make([]string, len(places)), make([]*string, len(places))
	for i := range leaves {
		leaves[i] = "0"
	}
	seen := 0
	for _, category := range b.plan(t, in2026).Categories() {
		step := &category.Steps[0]
		lo, hi := "(0,0)", "(100,0)"
		if step.Walk == plan.WalkStart {
			lo, hi = "2015-01-01", "2015-01-08"
		}
		type statement struct {
			q    plan.Query
			args []any
		}
		lock := statement{step.Lock, []any{lo, hi}}
		if step.Walk == plan.WalkStart {
			lock.args = append(lock.args, "(0,0)", "(100,0)")
		}
		statements := map[string]statement{
			"batch": {step.Batch, []any{lo, hi, nobody}},
			"part":  {step.Part, []any{lo, hi, "(0,0)", "(100,0)", nobody}},
			"lock":  lock,
			"taken": {step.Taken, []any{places, nobody}},
			"judge": {step.Judge, []any{places}},
			"again": {step.Again, []any{places}},
		}
		for i := range step.Kin {
			statements[fmt.Sprintf("kin %d", i)] = statement{step.Kin[i].Batch, []any{places, leaves, tenants, nobody}}
		}
		for what, s := range statements {
			if s.q.SQL == "" {
				continue
			}
			if !step.ByTenant && (what == "batch" || what == "part") {
				s.args = s.args[:len(s.args)-1]
			}
			for set, q := range map[string]plan.Query{"with a set": s.q.With(version, bits), "without": s.q} {
				text, err := explained(t, daemon, q.SQL, append(s.args, q.Args...))
				if err != nil {
					t.Fatalf("%s of %s: %v", what, category.Policy.Name, err)
				}
				seen++
				if strings.Contains(text, "Seq Scan on hold_keys") || strings.Contains(text, "Seq Scan on legal_holds") || strings.Contains(text, "Hash Cond: (h") || !strings.Contains(text, "hold_keys_type_part_value_idx") || !strings.Contains(text, "get_bit") {
					t.Errorf("%s of %s, %s:\n%s", what, category.Policy.Name, set, text)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("looked at %d plans only", seen)
	}
}
