package sql_test

import (
	"testing"
)

// TestEverythingHasAComment looks at every object of schema sweeper that can
// carry one, the log's partitions and their columns included.
func TestEverythingHasAComment(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "")
	bare := texts(t, conn, `
		select format('%s %s', case c.relkind when 'v' then 'view' else 'table' end, c.relname)
		  from pg_class c where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
		   and coalesce(obj_description(c.oid, 'pg_class'), '') = ''
		union all
		select format('column %s.%s', c.relname, a.attname)
		  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		 where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
		   and coalesce(col_description(c.oid, a.attnum), '') = ''
		union all
		select 'function ' || p.oid::regprocedure from pg_proc p
		 where p.pronamespace = 'sweeper'::regnamespace and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
		union all
		select 'type ' || t.typname from pg_type t
		 where t.typnamespace = 'sweeper'::regnamespace and t.typtype in ('d', 'e', 'r') and coalesce(obj_description(t.oid, 'pg_type'), '') = ''
		union all
		select 'the schema' where coalesce(obj_description('sweeper'::regnamespace, 'pg_namespace'), '') = ''`)
	for _, object := range bare {
		t.Errorf("%s has no comment", object)
	}
	if seen := texts(t, conn, `select c.relname::text from pg_class c where c.relnamespace = 'sweeper'::regnamespace and c.relkind in ('r', 'p')`); len(seen) < 20 {
		t.Errorf("looked at %d tables only: %v", len(seen), seen)
	}
}
