package sweeper_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// unnoted takes the event triggers away, as they are where no superuser has
// installed any.
const unnoted = `drop event trigger sweeper_note_drop; drop event trigger sweeper_note_ddl;`

const (
	threeTables = events + `create table app.notes (id bigint primary key, at timestamptz not null, who text);
		create table app.logs (id bigint, at timestamptz not null, who text, primary key (id, at)) partition by range (at);
		create table app.logs_1 partition of app.logs for values from ('2000-01-01') to ('2010-01-01');
		create table app.logs_2 partition of app.logs for values from ('2010-01-01') to ('2020-01-01');
		create table app.logs_3 partition of app.logs for values from ('2020-01-01') to ('2030-01-01');`
	threePolicies = fiveYear + "  notes: {table: app.notes, subject: who, start_from: at, delete: {after: P5Y}}\n" +
		"  logs: {table: app.logs, subject: who, start_from: at, delete: {after: P20Y}, partitions: rows}\n"
)

// coverage are the log's entries on what it witnesses, from one on; LSNs as X.
func (b *bundle) coverage(t *testing.T, from string) string {
	t.Helper()
	got := b.text(t, `select string_agg(concat_ws(' ', kind, reason, coalesce(partition, relation), actor, reference), e'\n' order by seq) from sweeper.purge_log
		where (kind in ('coverage', 'drop_partition', 'detach_partition') or kind = 'delete' and category is null) and seq >= $1`, from)
	return regexp.MustCompile(`[0-9A-F]+/[0-9A-F]+`).ReplaceAllString(got, "X")
}

// sweepEvents sweeps one category, so that the stream has something to read
// while the other tables are in whatever state.
func (b *bundle) sweepEvents(t *testing.T) {
	t.Helper()
	b.db.Exec(t, `insert into app.events select i, '2010-01-01', 'u' from generate_series(1, 10) i on conflict do nothing`)
	b.set.Categories = b.set.Categories[:1]
	b.sweep(t)
}

// TestCoverageBegins: the log says at its beginning what it witnesses, and
// nothing more while nothing changes.
func TestCoverageBegins(t *testing.T) {
	t.Parallel()
	b := setup(t, threeTables, threePolicies)
	b.sweepEvents(t)
	b.sweepEvents(t)
	var want []string
	for _, one := range []string{
		"app.events|sweeper (delete, truncate)|id", "app.logs|sweeper (delete, truncate)|id, at", "app.notes|sweeper (delete, truncate)|id",
		"sweeper.batches|sweeper_stamp (insert)|batch_id", "sweeper.manifest|sweeper_stamp (insert)|manifest_id",
	} {
		part := strings.Split(one, "|")
		want = append(want, fmt.Sprintf("coverage %s witnessed from LSN X on: published by %s; its rows are named by (%s)", part[0], part[1], part[2]))
	}
	if got := b.coverage(t, "0"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if got := b.text(t, `select string_agg(relation, ' ' order by relation) from sweeper.coverage where cardinality(published) = 1`); got != "app.events app.logs app.notes sweeper.batches sweeper.manifest" {
		t.Errorf("sweeper.coverage has %s", got)
	}
}

// TestCoverageChanges changes in every way what the log witnesses: with the
// event triggers the statement is in the log with its own LSN, without them it
// is found by comparison, and never both.
func TestCoverageChanges(t *testing.T) {
	t.Parallel()
	const place = "a place between LSN X and LSN X"
	for name, c := range map[string]struct{ sql, noted, compared string }{
		"taken out": {
			`alter publication sweeper drop table app.notes`,
			"coverage app.notes postgres taken out of publication sweeper by ALTER PUBLICATION: not witnessed by it from here on",
			"coverage app.notes not witnessed any more from " + place + " on: no publication names it",
		},
		"taken out, purged and put back": {
			`alter publication sweeper drop table app.notes; insert into app.notes values (1, now()); delete from app.notes; alter publication sweeper add table app.notes`,
			"coverage app.notes postgres taken out of publication sweeper by ALTER PUBLICATION: not witnessed by it from here on\n" +
				"coverage app.notes postgres put into publication sweeper by ALTER PUBLICATION: witnessed by it from here on",
			"coverage app.notes taken out of a publication and put back at " + place + ": what was committed in between may not be witnessed",
		},
		"other operations": {
			`alter publication sweeper set (publish = 'delete')`,
			"coverage postgres publication sweeper has other options from here on, by ALTER PUBLICATION\n" + otherOperations(place),
			otherOperations(place),
		},
		"rows by a filter": {
			`alter publication sweeper drop table app.notes; alter publication sweeper add table app.notes where (id > 5)`,
			"coverage app.notes postgres taken out of publication sweeper by ALTER PUBLICATION: not witnessed by it from here on\n" +
				"coverage app.notes postgres put into publication sweeper by ALTER PUBLICATION: witnessed by it from here on",
			"coverage app.notes witnessed otherwise from " + place + " on: published by sweeper (delete, truncate, rows by a filter), and before by sweeper (delete, truncate)",
		},
		"replica identity": {
			`alter table app.notes replica identity full`, "",
			"coverage app.notes its rows are named otherwise from " + place + " on: by (id) with replica identity FULL, and before by (id) with replica identity DEFAULT",
		},
		"replica identity of a partition": {
			`alter table app.logs_2 replica identity full`, "",
			"coverage app.logs its rows are named otherwise from " + place + " on: by (id, at) with replica identity DEFAULT or FULL, and before by (id, at) with replica identity DEFAULT",
		},
		"another key": {
			`alter table app.notes drop constraint notes_pkey, add primary key (at, id)`, "",
			"coverage app.notes its rows are named otherwise from " + place + " on: by (at, id) with replica identity DEFAULT, and before by (id) with replica identity DEFAULT",
		},
		"another name": {
			`alter table app.notes rename to remarks`, "",
			"coverage app.remarks called app.notes until " + place,
		},
		"dropped": {
			`drop table app.notes`,
			"drop_partition out_of_policy app.notes postgres dropped by DROP TABLE\n" +
				"coverage app.notes postgres taken out of publication sweeper by DROP TABLE: not witnessed by it from here on",
			"coverage app.notes not witnessed any more from " + place + " on: no publication names it\n" +
				"drop_partition out_of_policy app.notes dropped by somebody else at " + place + ": found by comparison with the catalogue",
		},
		"partition dropped": {
			`drop table app.logs_1`,
			"drop_partition out_of_policy app.logs_1 postgres dropped by DROP TABLE",
			"drop_partition out_of_policy app.logs_1 dropped by somebody else at " + place + ": found by comparison with the catalogue",
		},
		"partition detached": {
			`alter table app.logs detach partition app.logs_1`,
			"detach_partition out_of_policy app.logs_1 postgres detached by ALTER TABLE",
			"detach_partition out_of_policy app.logs_1 detached by somebody else at " + place + ": found by comparison with the catalogue",
		},
		"new partition, dropped again": {
			`create table app.logs_4 partition of app.logs for values from ('2030-01-01') to ('2040-01-01'); drop table app.logs_4`,
			"drop_partition out_of_policy app.logs_4 postgres dropped by DROP TABLE", "",
		},
		"schema dropped": {
			`create schema other; alter table app.logs_1 set schema other; drop schema other cascade`,
			"drop_partition out_of_policy app.logs_1 postgres dropped by DROP SCHEMA",
			"drop_partition out_of_policy app.logs_1 dropped by somebody else at " + place + ": found by comparison with the catalogue",
		},
		"somebody else's publication": {
			`create publication theirs for table app.notes; alter publication theirs drop table app.notes; drop publication theirs`, "", "",
		},
		"rolled back": {`begin; drop table app.logs_1; alter publication sweeper drop table app.notes; rollback`, "", ""},
		"nobody's table": {
			`create table app.mine (id int) partition by list (id); create table app.mine_1 partition of app.mine for values in (1); drop table app.mine_1; drop table app.mine`, "", "",
		},
	} {
		for how, want := range map[string]string{"noted": c.noted, "compared": c.compared} {
			if how == "noted" && want == "" {
				want = c.compared
			}
			if name == "new partition, dropped again" && how == "compared" {
				want = "" // nobody ever saw it: a limit that the README tells
			}
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				b := setup(t, threeTables, threePolicies)
				if strings.Contains(c.sql, "where (") && b.text(t, `select current_setting('server_version_num')::int < 150000`) == "true" {
					return // those servers know no filters
				}
				if how == "compared" {
					b.db.Exec(t, unnoted)
				}
				b.sweepEvents(t)
				from := b.text(t, `select max(seq) + 1 from sweeper.purge_log`)
				b.db.Exec(t, c.sql)
				b.sweepEvents(t)
				b.sweepEvents(t)
				if got := b.coverage(t, from); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				if how == "noted" && c.noted != "" {
					if got := b.text(t, `select count(*) from sweeper.purge_log where actor = 'postgres' and (xid is null or committed_at is null)`); got != "0" {
						t.Error("a noted statement has no transaction")
					}
				}
			})
		}
	}
}

func otherOperations(place string) string {
	var all []string
	for _, table := range []string{"app.events", "app.logs", "app.notes"} {
		all = append(all, "coverage "+table+" witnessed otherwise from "+place+" on: published by sweeper (delete), and before by sweeper (delete, truncate)")
	}
	return strings.Join(all, "\n")
}

// TestOwnDropsAreToldOnce: what a sweep drops and detaches has its stamp, and
// neither the event triggers nor the comparison say it again.
func TestOwnDropsAreToldOnce(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]string{"noted": ``, "compared": unnoted} {
		for kind, partitions := range map[string]string{"drop_partition": "drop", "detach_partition": "detach"} {
			t.Run(name+" "+partitions, func(t *testing.T) {
				t.Parallel()
				b := setup(t, threeTables, fiveYear+"  logs: {table: app.logs, subject: who, start_from: at, delete: {after: P10Y}, partitions: "+partitions+"}\n")
				b.db.Exec(t, `insert into app.logs values (1, '2005-01-01', 'u')`)
				b.db.Exec(t, prepare+ownedByLogs)
				b.sweep(t)
				b.sweepEvents(t)
				b.sweepEvents(t)
				if got := b.text(t, `select string_agg(concat_ws(' ', kind, reason, partition), '; ' order by seq) from sweeper.purge_log where kind in ('drop_partition', 'detach_partition')`); got != kind+" manual app.logs_1" {
					t.Errorf("the log has %s", got)
				}
			})
		}
	}
}

// ownedByLogs gives the partitions to a role that lets them be dropped.
const ownedByLogs = `
	do $$ begin create role logs_owner; exception when duplicate_object or unique_violation then null; end $$;
	do $$ begin grant logs_owner to sweeper_owner; exception when unique_violation or internal_error then null; end $$;
	alter table app.logs owner to logs_owner; alter table app.logs_1 owner to logs_owner; alter table app.logs_2 owner to logs_owner; alter table app.logs_3 owner to logs_owner;
	grant usage, create on schema app to logs_owner;`

// TestDaemonSeesDrops has a daemon find what has gone while it runs, without a
// transaction of ours, and say it once.
func TestDaemonSeesDrops(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	w := unwatched(t, db.URL, db.Slot())
	w.exec(t, unnoted)
	w.start(t)
	w.exec(t, `alter publication sweeper drop table app.events`)
	pgtest.Eventually(t, "the table is said not to be witnessed", func() bool {
		return w.text(t, `select string_agg(reference, '; ') from sweeper.purge_log where kind = 'coverage' and relation = 'app.events' and reference like 'not witnessed%'`) != ""
	})
	w.exec(t, `alter publication sweeper add table app.events`)
	// The next look comes after 500 times what the last one took, and a minute at most.
	pgtest.EventuallyWithin(t, 75*time.Second, "the table is said to be witnessed again", func() bool {
		return w.text(t, `select count(*) from sweeper.purge_log where kind = 'coverage' and relation = 'app.events' and reference like 'witnessed from a place%'`) == "1"
	})
	w.fill(t)
	w.gone(t)
	w.whole(t)
}

// TestDDLNeverFailsForUs breaks in several ways what notes others' statements:
// they work all the same, at once, and are found by comparison.
func TestDDLNeverFailsForUs(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]string{
		"batches locked":   `begin; lock table sweeper.batches`,
		"relations locked": `begin; lock table sweeper.relations`,
		"batches refuse":   `create function app.no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$; create trigger no before insert on sweeper.batches for each row execute function app.no(); begin`,
		"column gone":      `alter table sweeper.batches rename column reference to other; begin`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, threeTables, threePolicies)
			b.sweepEvents(t)
			from := b.text(t, `select max(seq) + 1 from sweeper.purge_log`)
			other := b.db.Conn(t, "")
			if _, err := other.Exec(t.Context(), breakIt); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			b.db.Exec(t, `drop table app.logs_1; alter table app.logs detach partition app.logs_2; alter publication sweeper drop table app.notes`)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the statements took %s", took)
			}
			if _, err := other.Exec(t.Context(), `rollback`); err != nil {
				t.Fatal(err)
			}
			b.db.Exec(t, `do $$ begin
				if exists (select from pg_trigger where tgname = 'no') then drop trigger no on sweeper.batches; end if;
				if exists (select from pg_attribute where attrelid = 'sweeper.batches'::regclass and attname = 'other') then alter table sweeper.batches rename column other to reference; end if; end $$`)
			b.sweepEvents(t)
			got := b.coverage(t, from)
			for _, want := range []string{"drop_partition out_of_policy app.logs_1 dropped by somebody else", "detach_partition out_of_policy app.logs_2 detached by somebody else", "coverage app.notes not witnessed any more"} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}
