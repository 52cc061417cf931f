package sweeper_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

const deletesPeople = "version: 1\ncategories:\n  people:\n    table: app.people\n    subject: who\n    start_from: at\n    delete: {after: P5Y}\n    children:\n"

const dossiers = `create schema app; create table app.people (id int primary key, at timestamptz, who text); create index on app.people (at);
	insert into app.people select i, '2015-01-01', 'p' || i from generate_series(1, 20) i;`

// TestGrandchildren has three levels below a parent, by keys of several columns,
// partitions among them, and each action at its own level.
func TestGrandchildren(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`
		create table app.cases (id int, region text, person int references app.people on delete cascade, primary key (region, id)); create index on app.cases (person);
		create table app.files (id int, region text, case_id int, body text, primary key (id, region), foreign key (region, case_id) references app.cases (region, id)) partition by list (region);
		create table app.files_eu partition of app.files for values in ('eu'); create table app.files_us partition of app.files for values in ('us'); create index on app.files (case_id);
		create table app.notes (id int primary key, file int, file_region text, foreign key (file, file_region) references app.files (id, region) on delete set null); create index on app.notes (file);
		create table app.visits (id int primary key, file int, ip text); create index on app.visits (file);
		insert into app.cases select i, case when i % 2 = 0 then 'eu' else 'us' end, 1 + i % 20 from generate_series(1, 60) i;
		insert into app.files select i, region, id, 'b' from app.cases c, generate_series(c.id * 10, c.id * 10 + 3) i;
		insert into app.notes select id, id, region from app.files; insert into app.visits select id, id, '10.0.0.1' from app.files`,
		deletesPeople+`      - table: app.cases
        match: {person: id}
        children:
          - table: app.files
            match: {region: region, case_id: id}
            children:
              - {table: app.notes, match: {file: id, file_region: region}, action: nullify}
              - {table: app.visits, match: {file: id}, action: redact, columns: {ip: zero}}
`, "SWEEPER_BATCH_ROWS=200")
	truth := pgtest.Truth(t, b.db)
	const want = "cases DELETE 60, files DELETE 240, notes UPDATE 240, people DELETE 20, visits UPDATE 240"
	for range 2 {
		if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Remaining != 0 {
			t.Errorf("%+v", o)
		}
		if got := strings.NewReplacer("files_eu DELETE 120, files_us DELETE 120", "files DELETE 240").Replace(witnessed(t, truth)); got != want {
			t.Errorf("another reader saw %s", got)
		}
		if got := b.logged(t); got != want {
			t.Errorf("the log has %s", got)
		}
	}
	if got := b.text(t, `select children from sweeper.runs order by started_at limit 1`); got != "780" {
		t.Errorf("%s children went along", got)
	}
	b.commitments(t, "app.files", "id", "11", "region", "us")
}

// TestTreeOfItsOwnTable has rows that point at rows of their table, in every
// shape: a tree, a chain, a row that points at itself, two that point at each
// other; one tree is kept by a young leaf, one is held by a leaf.
func TestTreeOfItsOwnTable(t *testing.T) {
	t.Parallel()
	for _, onDelete := range []string{"", " on delete cascade", " on delete restrict", " on delete set null", "none"} {
		for _, rows := range []int{7, 1000} {
			t.Run(fmt.Sprintf("%s/%d", onDelete, rows), func(t *testing.T) {
				t.Parallel()
				key := "references app.posts" + onDelete
				if onDelete == "none" {
					key = ""
				}
				b := setup(t, `create schema app; create table app.posts (id int primary key, at timestamptz, who text, parent int `+key+`); create index on app.posts (at); create index on app.posts (parent);
					create table app.likes (id int primary key, post int references app.posts); create index on app.likes (post);
					insert into app.posts values (0, '2015-01-01', 'u', null), (-1, '2015-01-01', 'u', -1);
					insert into app.posts select i, '2015-01-01', 'u', (i - 1) / 3 from generate_series(1, 120) i;
					insert into app.posts select i, '2015-01-01', 'u', nullif(i - 1, 199) from generate_series(200, 240) i;
					insert into app.posts values (300, '2015-01-01', 'u', null), (301, '2015-01-01', 'u', 300), (302, now(), 'u', 301);
					insert into app.posts values (400, '2015-01-01', 'u', null), (401, '2015-01-01', 'u', 400), (402, '2015-01-01', 'held', 401);
					insert into app.posts values (500, '2015-01-01', 'u', null), (501, '2015-01-01', 'u', 500); update app.posts set parent = 501 where id = 500;
					insert into app.likes select i, i from generate_series(0, 120) i`, `
version: 1
categories:
  posts:
    table: app.posts
    subject: who
    start_from: at
    delete: {after: P5Y}
    children:
      - {table: app.likes, match: {post: id}}
      - {table: app.posts, match: {parent: id}, children: [{table: app.likes, match: {post: id}}]}
`, fmt.Sprintf("SWEEPER_BATCH_ROWS=%d", rows))
				b.db.Exec(t, `select sweeper.apply_hold('held', 'case', 'test')`)
				truth := pgtest.Truth(t, b.db)
				for range 2 {
					o := b.sweep(t)["posts"]
					if o.State != purge.Partial || o.Blocked != 2 || o.Held != 3 || !strings.Contains(o.StopReason, "category posts keeps rows of app.posts") {
						t.Errorf("%+v", o)
					}
					want := "likes DELETE 121, posts DELETE 165"
					if rows == 7 { // two that point at each other go in one statement, and of parts none is the outermost
						want = witnessed(t, truth)
					}
					if got := witnessed(t, truth); got != want {
						t.Errorf("another reader saw %s, want %s", got, want)
					}
					if got := b.logged(t); got != want {
						t.Errorf("the log has %s, want %s", got, want)
					}
				}
				if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.posts`); got != "300 301 302 400 401 402" {
					t.Errorf("left are %s", got)
				}
			})
		}
	}
}

// TestManyChildren has a parent with more children than a batch takes: they go in
// batches of their own, and the parent with the last of them.
func TestManyChildren(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int references app.people); create index on app.kids (parent);
		insert into app.kids select i, case when i <= 30000 then 7 else 1 + i % 20 end from generate_series(1, 30500) i`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}}\n", "SWEEPER_BATCH_ROWS=1000")
	truth := pgtest.Truth(t, b.db)
	o := b.sweep(t)["people"]
	if o.State != purge.Succeeded || o.Deleted != 20 || o.Children != 30500 {
		t.Fatalf("%+v", o)
	}
	const want = "kids DELETE 30500, people DELETE 20"
	if got := witnessed(t, truth); got != want || b.logged(t) != want {
		t.Errorf("another reader saw %s, the log has %s", got, b.logged(t))
	}
	largest := b.text(t, `select max(n) || ' ' || count(*) from (select sum(row_count) as n from sweeper.purge_log where kind = 'delete' group by xid) l`)
	var rows, batches int
	if _, err := fmt.Sscan(largest, &rows, &batches); err != nil || rows > 1100 || batches > 100 {
		t.Errorf("the largest batch and their number: %s, %v", largest, err)
	}
	if got := b.text(t, `select count(*) from sweeper.purge_log p where relation = 'app.people' and exists (select from sweeper.purge_log k where k.relation = 'app.kids' and k.seq > p.seq and k.xid <> p.xid)`); got == "" {
		t.Error("no order")
	}
}

// TestChildrenThatATriggerKeeps has a trigger take back, without a word, what goes
// along with one parent, which has more than a batch takes: its batches would never
// end. It is named and keeps its children as they were; the others go.
func TestChildrenThatATriggerKeeps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ child, body, why string }{
		"redact":              {"action: redact, columns: {mail: zero}", "if old.parent = 7 then new.mail := old.mail; end if; return new", "brought back"},
		"nullify":             {"action: nullify", "if old.parent = 7 then new.parent := old.parent; end if; return new", "brought back"},
		"nullify with a rule": {"action: nullify", "if old.parent = 7 then new.parent := old.parent; end if; return new", "brought back"},
		"delete":              {"action: delete", "if old.parent = 7 then return null; end if; return old", "keeps"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, dossiers+`create table app.kids (id int primary key, parent int, mail text, tag int); create index on app.kids (parent);
				insert into app.kids select i, case when i > 100 then 7 else 1 + i % 5 end, 'm' from generate_series(1, 350) i;
				create function app.keep() returns trigger language plpgsql as $$ begin `+c.body+`; end $$; create trigger keep before update or delete on app.kids for each row execute function app.keep()`,
				deletesPeople+"      - {table: app.kids, match: {parent: id}, "+c.child+"}\n", "SWEEPER_BATCH_ROWS=100")
			if strings.HasSuffix(name, "rule") {
				b.db.Exec(t, `create table app.seen (id int); create rule seen as on update to app.kids do also insert into app.seen values (old.id)`)
			}
			for _, deleted := range []int64{19, 0} {
				if deleted == 0 && name == "redact" {
					break // the trial of the redaction finds it before a second sweep
				}
				if o := b.sweep(t)["people"]; o.State != purge.Partial || o.Deleted != deleted || o.Remaining != 1 || !strings.Contains(o.StopReason, c.why) || strings.Contains(o.StopReason, "BATCH_ROWS") {
					t.Errorf("%+v", o)
				}
			}
			if got := b.text(t, `select count(*) filter (where parent = 7 and mail = 'm') from app.kids`); got != "250" {
				t.Errorf("%s of the 250 children of the parent that stays are as they were", got)
			}
		})
	}
}

// TestChildrenThatComeBack has a trigger bring back afterwards what went along with
// one parent, which has more than a batch takes: each of its batches does something,
// and none comes nearer to the end. The run ends, and names it. A parent with as
// many children that nobody brings back goes in as many batches.
func TestChildrenThatComeBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ child, event, when, body string }{
		"redact":  {"action: redact, columns: {mail: zero}", "update", "new.mail = ''", "update app.kids set mail = old.mail where id = old.id"},
		"nullify": {"action: nullify", "update", "new.parent is null", "update app.kids set parent = old.parent where id = old.id"},
		"delete":  {"action: delete", "delete", "true", "insert into app.kids values (old.id, old.parent, old.mail)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, dossiers+`create table app.kids (id int primary key, parent int, mail text, tag int); create index on app.kids (parent);
				insert into app.kids select i, case when i > 1500 then 7 when i > 100 then 3 else 1 + i % 5 end, 'm' from generate_series(1, 1750) i;
				create function app.back() returns trigger language plpgsql security definer as $$ begin if old.parent = 7 and `+c.when+` then `+c.body+`; end if; return null; end $$;
				create trigger back after `+c.event+` on app.kids for each row execute function app.back()`,
				deletesPeople+"      - {table: app.kids, match: {parent: id}, "+c.child+"}\n", "SWEEPER_BATCH_ROWS=100")
			// The log has seen that more was written than the sweep says.
			all, err := sweeper.Sweep(t.Context(), b.cfg, b.log, b.set, sweeper.SweepOptions{Actor: "test", Now: time.Now})
			if err != nil && (name == "delete" || !errors.Is(err, sweeper.ErrMismatch)) || len(all) != 1 {
				t.Fatalf("%+v, %v", all, err)
			}
			o := all[0]
			if o.State != purge.Partial || o.Deleted != 19 || o.Remaining != 1 || !strings.Contains(o.StopReason, "comes back as fast as it goes") {
				t.Errorf("%+v", o)
			}
			if got := b.text(t, `select count(*) filter (where parent = 7 and mail = 'm') || ' ' || count(*) filter (where parent = 3 and mail = 'm') from app.kids`); got != "250 0" {
				t.Errorf("children that came back, and those of another parent that are as they were: %s", got)
			}
		})
	}
}

// TestManyGrandchildren has few children and far more below them than a batch
// takes, in partitions: what is left of the family is counted down to the lowest,
// of which each batch takes some.
func TestManyGrandchildren(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int, parent int, primary key (id, parent)) partition by hash (parent); create index on app.kids (parent);
		create table app.kids_0 partition of app.kids for values with (modulus 2, remainder 0); create table app.kids_1 partition of app.kids for values with (modulus 2, remainder 1);
		create table app.toys (id int primary key, kid int); create index on app.toys (kid);
		insert into app.kids values (1, 7), (2, 7), (3, 8);
		insert into app.toys select i, 1 + i % 2 from generate_series(1, 2000) i; insert into app.toys values (3000, 3)`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}, children: [{table: app.toys, match: {kid: id}}]}\n", "SWEEPER_BATCH_ROWS=100")
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 20 || o.Children != 2004 {
		t.Errorf("%+v", o)
	}
	if got := b.text(t, `select (select count(*) from app.kids) + (select count(*) from app.toys)`); got != "0" {
		t.Errorf("%s rows stay", got)
	}
}

// TestChildrenThatATriggerMoves has a trigger put children that lose their parent
// elsewhere: they are cut off all the same.
func TestChildrenThatATriggerMoves(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`create table app.kids (id int primary key, parent int, mail text); create index on app.kids (parent);
		insert into app.kids select i, 7, 'm' from generate_series(1, 250) i; insert into app.kids values (1000, -1, 'm');
		create function app.move() returns trigger language plpgsql as $$ begin new.parent := coalesce(new.parent, -1); return new; end $$; create trigger move before update on app.kids for each row execute function app.move()`,
		deletesPeople+"      - {table: app.kids, match: {parent: id}, action: nullify}\n", "SWEEPER_BATCH_ROWS=100")
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 20 || o.Children != 250 || b.text(t, `select count(*) from app.kids where parent = -1`) != "251" {
		t.Errorf("%+v", o)
	}
}

// TestKeptAndHeldChildren has children that their own category keeps longer, that
// are held through it, or whose whole table is held: their parents stay, with all
// of their other children, and the run says why.
func TestKeptAndHeldChildren(t *testing.T) {
	t.Parallel()
	b := setup(t, dossiers+`
		create table app.kids (id int primary key, parent int references app.people on delete cascade, at timestamptz, owner text); create index on app.kids (parent);
		create table app.toys (id int primary key, kid int references app.kids, at timestamptz); create index on app.toys (kid);
		create table app.bills (id int primary key, toy int references app.toys, at timestamptz);
		insert into app.kids select i, 1 + i % 20, '2015-01-01', 'k' || i from generate_series(1, 60) i;
		insert into app.toys select i, i, '2015-01-01' from generate_series(1, 60) i;
		update app.kids set at = now() where id = 2; update app.toys set at = now() where id = 3; insert into app.bills values (1, 4, now())`,
		deletesPeople+`      - {table: app.kids, match: {parent: id}, children: [{table: app.toys, match: {kid: id}}]}
  kids: {table: app.kids, subject: owner, start_from: at, where: [{column: owner, op: ne, value: none}], delete: {after: P9Y}, mode: observe}
  toys: {table: app.toys, start_from: at, delete: {after: P9Y}, mode: observe}
  bills: {table: app.bills, start_from: at, delete: {after: P9Y}}
`)
	// What its own category lets go by now may go along; alone it stays, since that
	// category only observes.
	b.db.Exec(t, `update app.kids set at = now() - interval '9 years' - interval '1 day' where id <> 2; update app.toys set at = now() - interval '9 years' - interval '1 day' where id <> 3;
		select sweeper.apply_hold('k5', 'case', 'test')`)
	o := b.sweep(t)
	if p := o["people"]; p.State != purge.Partial || p.Deleted != 16 || p.Blocked != 3 || p.Held != 1 {
		t.Errorf("%+v", p)
	}
	for _, want := range []string{"category kids keeps rows of app.kids", "category toys keeps rows of app.toys", `foreign key "bills_toy_fkey" of app.bills`} {
		if !strings.Contains(o["people"].StopReason, want) {
			t.Errorf("the reason %q lacks %s", o["people"].StopReason, want)
		}
	}
	if got := b.text(t, `select string_agg(id::text, ' ' order by id) from app.people`); got != "3 4 5 6" {
		t.Errorf("left are %s", got)
	}
	for key, want := range map[string]string{"3": "blocked", "4": "blocked", "5": "blocked", "6": "held"} {
		story, err := sweeper.Explain(t.Context(), b.cfg, b.set, "app.people", key, time.Time{})
		if err != nil || story.Standing[0].State != want || len(story.Standing[0].Reasons) != 1 {
			t.Errorf("explain %s: %+v, %v", key, story, err)
		}
	}
	// A hold on the whole table of a child.
	b.db.Exec(t, `select sweeper.apply_hold(null, 'case', 'test', relation => 'app.toys'); delete from app.bills; update app.kids set at = '2010-01-01'; update app.toys set at = '2010-01-01'`)
	if p := b.sweep(t)["people"]; p.Deleted != 0 || p.Held != 4 || p.Blocked != 0 {
		t.Errorf("with the table held: %+v", p)
	}
}

// TestFamiliesGoWhole has many small families, and one that is larger than a
// batch: but for that one each goes in a single transaction, so that a run may stop
// between any two of them.
func TestFamiliesGoWhole(t *testing.T) {
	t.Parallel()
	b := setup(t, `create schema app; create table app.people (id int primary key, at timestamptz, who text); create index on app.people (at);
		create table app.homes (id int primary key, person int references app.people); create index on app.homes (person);
		create table app.bills (id int primary key, person int references app.people); create index on app.bills (person);
		insert into app.people select i, '2015-01-01'::timestamptz + i * interval '1 minute', 'p' || i from generate_series(1, 1000) i;
		insert into app.homes select i, 1 + i % 1000 from generate_series(1, 2000) i;
		insert into app.bills select i, 1 + i % 1000 from generate_series(1, 2000) i;
		insert into app.bills select i, 500 from generate_series(2001, 3500) i;`,
		deletesPeople+"      - {table: app.homes, match: {person: id}}\n      - {table: app.bills, match: {person: id}, action: nullify}\n", "SWEEPER_BATCH_ROWS=1000")
	if o := b.sweep(t)["people"]; o.State != purge.Succeeded || o.Deleted != 1000 || o.Children != 5500 {
		t.Errorf("%+v", o)
	}
	const transactions = `select xid, coalesce(sum(row_count) filter (where relation = 'app.people'), 0) as people,
		coalesce(sum(row_count) filter (where relation <> 'app.people'), 0) as others from sweeper.purge_log where kind in ('delete', 'redact') group by xid`
	// Those of the large family alone, and one with what was left of it.
	if got := b.text(t, `select count(*) filter (where others <> 4 * people) || ' ' || sum(others) filter (where others <> 4 * people) from (`+transactions+`) x`); got != "2 1504" {
		t.Errorf("transactions with less or more than whole families, and what went in them: %s", got)
		t.Log(b.text(t, `select string_agg(people || ' ' || others, ', ' order by xid) from (`+transactions+`) x`))
	}
}
