package catalog

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A rule's action is stored as the parser's tree, where each table has beside it
// the privileges that the action needs on it: 1 INSERT, 4 UPDATE, 8 DELETE. One
// that is disabled, or meant for a replica's own sessions, does not fire.
const rulesSQL = `
select w.ev_class, w.rulename, case w.ev_type when '1' then 'SELECT' when '2' then 'UPDATE' when '3' then 'INSERT' else 'DELETE' end, w.is_instead,
       coalesce(n.nspname, ''), coalesce(c.relname, ''), coalesce(p.needs & 5 > 0, false), coalesce(p.needs & 8 > 0, false)
  from pg_rewrite w
  left join lateral (select m[1]::oid as relid, bit_or(m[2]::int) as needs
                       from regexp_matches(w.ev_action::text, ':relid (\d+)[^{}]*:requiredPerms (\d+)', 'g') m group by 1) p on p.needs & 13 > 0
  left join pg_class c on c.oid = coalesce(pg_partition_root(p.relid), p.relid)
  left join pg_namespace n on n.oid = c.relnamespace
 where w.ev_class = any($1) and w.ev_enabled in ('O', 'A')
 order by w.ev_class, w.rulename, n.nspname, c.relname`

func readRules(ctx context.Context, q Querier, oids []uint32, tables map[uint32]*Table) error {
	return each(ctx, q, "rules", rulesSQL, oids, func(row pgx.Rows) error {
		var oid uint32
		var r Rule
		var target Name
		var writes, deletes bool
		if err := row.Scan(&oid, &r.Name, &r.Command, &r.Instead, &target.Schema, &target.Relation, &writes, &deletes); err != nil {
			return err
		}
		t := tables[oid]
		if n := len(t.Rules); n == 0 || t.Rules[n-1].Name != r.Name {
			t.Rules = append(t.Rules, r)
		}
		last := &t.Rules[len(t.Rules)-1]
		if writes {
			last.Writes = append(last.Writes, target)
		}
		if deletes {
			last.Deletes = append(last.Deletes, target)
		}
		return nil
	})
}
