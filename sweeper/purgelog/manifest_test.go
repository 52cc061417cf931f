package purgelog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// shown are rows of sweeper.manifest: the keys of n rows, from one on.
func shown(from, n int) change {
	c := change{op: 'I', table: purgelog.Name{Schema: "sweeper", Relation: "manifest"}}
	for i := range n {
		key := proof.AppendField(proof.AppendField(nil, []byte("id")), []byte(fmt.Sprint(from+i)))
		c.rows = append(c.rows, map[string]string{"key": fmt.Sprintf(`\x%x`, key)})
	}
	return c
}

// TestManifest has partitions go with the keys of their rows, with fewer or more
// than were counted, and keys of no partition at all.
func TestManifest(t *testing.T) {
	t.Parallel()
	stamp := []string{"fact", "stamp", "reason", "manual", "kind", "drop_partition", "partition", "app.t_1"}
	report := func(rows string) change {
		return told(11, "fact", "report", "kind", "drop_partition", "partition", "app.t_1", "row_count", rows)
	}
	for name, c := range map[string]struct {
		changes []change
		want    string
	}{
		"counted alone":  {[]change{told(11, stamp...), report("5")}, "drop_partition manual app.t 5"},
		"with its keys":  {[]change{told(11, stamp...), shown(1, 5), report("5")}, "drop_partition manual app.t 5"},
		"in many parts":  {[]change{told(11, stamp...), shown(1, 1500), shown(1501, 1500), report("3000")}, "drop_partition manual app.t 3000"},
		"more than said": {[]change{told(11, stamp...), shown(1, 5), report("4")}, "drop_partition manual app.t 5; mismatch manual app.t 5 the transaction reported 4 rows"},
		"nothing said":   {[]change{told(11, stamp...), shown(1, 5)}, "drop_partition manual app.t 5; mismatch manual app.t 5 the transaction wrote a stamp and no report"},
		"no stamp":       {[]change{shown(1, 5), shown(6, 5)}, "mismatch a manifest in a transaction whose stamp names no partition"},
		"another stamp":  {[]change{told(11, "fact", "stamp", "reason", "manual"), shown(1, 5), deleted(1, 5), told(11, "fact", "report", "row_count", "5")}, "delete manual app.t 5; mismatch a manifest in a transaction whose stamp names no partition"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			log := b.open(t, begins)
			appended(t, log, committed(11, begins+0x100, c.changes...))
			flushed(t, log, begins+0x130)
			if got := b.entries(t); got != c.want {
				t.Errorf("the log has %s\nwant %s", got, c.want)
			}
			b.whole(t)
		})
	}
	t.Run("the same commitments as by rows", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		log := b.open(t, begins)
		appended(t, log, committed(11, begins+0x100, told(11, stamp...), shown(1, 5), report("5")), committed(12, begins+0x200, deleted(1, 5)))
		flushed(t, log, begins+0x230)
		if got := b.text(t, `select string_agg(distinct rows_root::text, ' ') || ' ' || count(*) from sweeper.purge_log where rows_root is not null`); strings.Count(got, " ") != 1 || !strings.HasSuffix(got, " 2") {
			t.Errorf("the roots are %s", got)
		}
		b.whole(t)
	})
	t.Run("an odd form", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		log := b.open(t, begins)
		odd := shown(1, 1)
		odd.rows[0]["key"] = "id"
		if err := log.Append(t.Context(), committed(11, begins+0x100, told(11, stamp...), odd)); err == nil || strings.Contains(err.Error(), `"id"`) {
			t.Errorf("got %v", err)
		}
	})
}

// TestDetachedLeaf has the changes of a leaf come when it is a leaf no more: they
// are of the table that it belonged to. A table that was never one of another is
// its own, under any name.
func TestDetachedLeaf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.Exec(t, `create table app.parts (id bigint, at timestamptz, primary key (id, at)) partition by range (at); create table app.parts_1 partition of app.parts default;
		insert into sweeper.relations (relid, relation, root, key_columns) values
			('app.parts_1'::regclass, 'app.parts_1', 'app.parts', '{id,at}'), ('app.t'::regclass, 'app.t', 'app.t', '{id}')
			on conflict (relid) do nothing;
		alter table app.parts detach partition app.parts_1; alter table app.t rename to u`)
	log := b.open(t, begins)
	leaf, renamed := deleted(1, 5), deleted(1, 2)
	leaf.table.Relation, renamed.table.Relation = "parts_1", "u"
	appended(t, log, committed(11, begins+0x100, told(11, "fact", "stamp", "reason", "manual", "relation", "app.parts"), leaf,
		told(11, "fact", "report", "relation", "app.parts", "partition", "app.parts_1", "row_count", "5")), committed(12, begins+0x200, renamed))
	flushed(t, log, begins+0x230)
	if got := b.entries(t); got != "delete manual app.parts 5; delete out_of_policy app.u 2" {
		t.Errorf("the log has %s", got)
	}
	if got := b.text(t, `select partition from sweeper.purge_log where reason = 'manual'`); got != "app.parts_1" {
		t.Errorf("the leaf is %q", got)
	}
	b.whole(t)
}
