package sweeper

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// fits tells every reason why policies do not fit a database; nil: they do. See
// [unfit].
func fits(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog, purger bool) error {
	m, err := unfit(ctx, conn, set, cat, purger)
	if err != nil {
		return err
	}
	return plan.Join(set, m)
}

// unfit tells by category every reason why it does not fit a database: what the
// catalogue shows, and then what only the server can tell of its values. purger
// says that conn is the purging role's, which runs code of the tables' owners
// anyway; an installing role or a superuser must not.
func unfit(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog, purger bool) (misfits, error) {
	m := misfits(plan.Problems(set, cat))
	own := purger && conn.PgConn().ParameterStatus("is_superuser") == "off"
	for _, c := range set.Categories {
		if m[c.Name] != nil {
			continue
		}
		checks := plan.Checks(c, cat, own)
		if purger {
			checks = append(checks, plan.RawChecks(c, cat)...)
		}
		refused, err := refusals(ctx, conn, checks)
		if err != nil {
			return nil, err
		}
		if len(refused) > 0 {
			m[c.Name] = refused
		}
	}
	return m, nil
}

// refusals asks the server about one category.
func refusals(ctx context.Context, conn *pgx.Conn, checks []plan.Check) (refused []*policy.Error, err error) {
	for _, check := range checks {
		why, err := refusal(ctx, conn, check)
		if err != nil {
			return nil, err
		}
		if why == nil {
			continue
		}
		before := len(refused)
		for _, part := range check.Each {
			if why, err := refusal(ctx, conn, part); err != nil {
				return nil, err
			} else if why != nil {
				refused = append(refused, why)
			}
		}
		if len(refused) == before {
			refused = append(refused, why)
		}
	}
	return refused, nil
}

// refusal is why the answer to one question is no; nil: it is yes. What the
// server cannot answer, such as for want of a privilege, is a no too.
func refusal(ctx context.Context, conn *pgx.Conn, check plan.Check) (*policy.Error, error) {
	switch ok, err := ask(ctx, conn, check); {
	case err != nil && (ctx.Err() != nil || conn.IsClosed() || transient(err)):
		return nil, err
	case err != nil:
		return &policy.Error{Position: check.Refusal.Position, Reason: err.Error()}, nil
	case ok:
		return nil, nil
	}
	return check.Refusal, nil
}

// ask asks one question and leaves no trace of it, also inside a transaction of
// the caller's.
func ask(ctx context.Context, conn *pgx.Conn, check plan.Check) (ok bool, err error) {
	begin, undo := `begin`, `rollback`
	if conn.PgConn().TxStatus() != 'I' {
		begin, undo = `savepoint ask`, `rollback to savepoint ask`
	}
	begin += `; set local statement_timeout = '5s'`
	if check.Setup == nil {
		begin += `; set local transaction_read_only = on`
	} else {
		if conn.PgConn().TxStatus() == 'I' { // a session that only reads, reads and writes for this one question
			begin += `; set local transaction_read_only = off`
		}
		if conn.PgConn().ParameterStatus("is_superuser") == "on" {
			begin += `; set local role sweeper_daemon`
		}
	}
	if _, err = conn.Exec(ctx, begin); err == nil {
		if err = setUp(ctx, conn, check); err == nil {
			err = conn.QueryRow(ctx, check.SQL, check.Args...).Scan(&ok)
		}
		if _, uerr := conn.Exec(ctx, undo); uerr != nil {
			return false, pg.Wrap("check the policies' values", uerr)
		}
	}
	code := pg.SQLState(err)
	switch {
	case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"), check.Setup != nil && code == notImmutable,
		check.Names && strings.HasPrefix(code, "42") && code != forbidden:
		return false, nil
	case check.Reads && (code == forbidden || code == "57014"):
		return true, nil
	}
	return ok, pg.Wrap("check the policy's values", err)
}

// What the server says of an index by a condition that is not immutable, and of
// a table that the role may not read.
const (
	notImmutable = "42P17"
	forbidden    = "42501"
)

// setUp sends what comes before the question, each statement by itself: a text
// that holds two is refused by the protocol.
func setUp(ctx context.Context, conn *pgx.Conn, check plan.Check) error {
	for _, sql := range check.Setup {
		if err := conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil).Read().Err; err != nil {
			return err
		}
	}
	return nil
}

// voidSQL finds the legal holds in force that would protect nothing, or less
// than before, under the categories in $1. sweeper.governed still has what was
// in force until now. What is wrong depends on what a hold names and not on
// whom, so that a million holds are judged by a few kinds: MATERIALIZED keeps the
// server from judging the kind of each hold anew.
const voidSQL = `
with c as (
  select * from jsonb_to_recordset($1::jsonb) c(category text, relation oid, subject_column text, tenant_column text)),
active as (
  select hold_id, subject, tenant, category, relation from sweeper.legal_holds where released_at is null and (expires_at is null or expires_at > now())),
kind as (
  select category, relation, subject is not null as subject, tenant is not null as tenant from active group by 1, 2, 3, 4),
void as materialized (
  select k.*, case
           when k.category not in (select category from c) then 'a category that no policy has'
           when k.relation not in (select relation from c) then 'a relation that no policy governs'
           when u.n = 0 then 'a category and a relation that do not belong together'
           when k.subject and u.subjects = 0 then 'a subject, and no category under it names a subject column'
           when not k.subject and k.tenant and u.tenants = 0 then 'a tenant, and no category under it names a tenant column'
           when u.gone or u.moved then format('a subject or a tenant, and category %s %s', u.first,
             case when u.gone then 'names no such column any more' else 'finds it by another column now' end)
         end as why
    from kind k
   cross join lateral (
    select count(*) as n, count(c.subject_column) as subjects, count(c.tenant_column) as tenants,
           coalesce(bool_or(l.gone), false) as gone, coalesce(bool_or(l.moved), false) as moved,
           min(c.category) filter (where l.gone or l.moved) as first
      from c left join sweeper.governed g using (category)
     cross join lateral (select
           k.subject and g.subject_column is not null and c.subject_column is null
           or not k.subject and k.tenant and g.tenant_column is not null and c.tenant_column is null as gone,
           g.relation = c.relation and (k.subject and g.subject_column <> c.subject_column::name
                                        or k.tenant and g.tenant_column <> c.tenant_column::name) as moved) l
     where c.category = coalesce(k.category, c.category) and c.relation = coalesce(k.relation, c.relation)) u),
told as (
  select v.why, min(h.hold_id) as first, count(*) as n, array_to_string((array_agg(h.hold_id order by h.hold_id))[1:20], ', ') as ids
    from void v join active h on (h.category, h.relation, h.subject is not null, h.tenant is not null) is not distinct from (v.category, v.relation, v.subject, v.tenant)
   where v.why is not null group by v.why)
select string_agg(case when n = 1 then format('hold %s names %s', ids, why)
                       else format('holds %s%s name %s', ids, case when n > 20 then format(' and %s more', n - 20) end, why) end, '; ' order by first)
  from told`

// keepsHolds refuses policies under which a legal hold in force would protect
// nothing any more: whoever edits policies must not end holds by it. The holds
// are named by their ids alone.
func keepsHolds(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog) error {
	list, err := governed(set, cat, nil)
	if err != nil {
		return err
	}
	var void *string
	if err := conn.QueryRow(ctx, voidSQL, string(list)).Scan(&void); err != nil {
		return pg.Wrap("hold the policies against the legal holds", err)
	}
	if void == nil {
		return nil
	}
	return &SetupError{fmt.Sprintf("under these policies a legal hold would protect nothing: %s", *void), "release it (sweeper hold release) and apply it again, or bring the category back as it was"}
}
