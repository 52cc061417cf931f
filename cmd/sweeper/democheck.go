package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// The demo checks its own work from outside: the counts below are written by
// hand, read by a connection of their own, and know nothing of plans.

// observed is what another connection sees of one table.
type observed struct {
	table   string
	total   int64
	due     int64 // by the policy's window, neither held nor referenced
	held    int64 // due, and of the subject on hold
	blocked int64 // due, and referenced by a row that stays
	pending int64 // due for redaction and not redacted
	logged  int64 // rows that left, by the purge log
	erased  int64 // rows redacted, by the purge log
	done    int64 // rows that carry the mark of redaction
}

const observeSQL = `
with applicants as (
  select id::text as subject,
         case when status in ('approved', 'closed') then relationship_ended_at + interval '5 years' <= now()
              when status = 'rejected' then rejected_at + interval '90 days' <= now() else false end as due,
         exists (select from kyc.documents d where d.applicant_id = a.id) or exists (select from kyc.reviews r where r.applicant_id = a.id) as referenced,
         status in ('approved', 'closed') and relationship_ended_at + interval '90 days' <= now() and full_name is not null as pending,
         retention_status = 'redacted' as done
    from kyc.applicants a),
rows as (
  select 'kyc.applicants' as relation, subject, due, referenced, pending, done from applicants
  union all select 'kyc.documents', applicant_id::text, verified_at + interval '5 years' <= now(), false, false, false from kyc.documents
  union all select 'kyc.biometrics', applicant_id::text, captured_at + interval '30 days' <= now(), false, false, false from kyc.biometrics
  union all select 'kyc.liveness', applicant_id::text, captured_at + interval '7 days' <= now(), false, false, false from kyc.liveness
  union all select 'kyc.reviews', applicant_id::text, reviewed_at + interval '5 years' <= now(), false, false, false from kyc.reviews
  union all select 'kyc.audit_events', null, logged_at + interval '7 years' <= now(), false, false, false from kyc.audit_events)
select relation, count(*),
       count(*) filter (where due and subject is distinct from $1 and not referenced),
       count(*) filter (where due and subject = $1),
       count(*) filter (where due and subject is distinct from $1 and referenced),
       count(*) filter (where pending and not due and subject <> $1),
       coalesce((select sum(row_count) from sweeper.purge_log l where l.relation = rows.relation and l.kind in ('delete', 'drop_partition')), 0)::bigint,
       coalesce((select sum(row_count) from sweeper.purge_log l where l.relation = rows.relation and l.kind = 'redact'), 0)::bigint,
       count(*) filter (where done)
  from rows group by relation order by relation`

func observe(ctx context.Context, conn *pgx.Conn, subject string) ([]observed, error) {
	rows, err := conn.Query(ctx, observeSQL, subject)
	if err != nil {
		return nil, pg.Wrap("look at the sample from outside", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o observed, err error) {
		return o, row.Scan(&o.table, &o.total, &o.due, &o.held, &o.blocked, &o.pending, &o.logged, &o.erased, &o.done)
	})
	return all, pg.Wrap("look at the sample from outside", err)
}

// subject picks an applicant who is due in several tables, to be put on hold.
func (d *demo) subject(ctx context.Context) (subject string, err error) {
	err = d.admin.QueryRow(ctx, `
		select a.id::text from kyc.applicants a
		 where a.status in ('approved', 'closed') and a.relationship_ended_at + interval '5 years' <= now()
		   and exists (select from kyc.documents d where d.applicant_id = a.id and d.verified_at + interval '5 years' <= now())
		   and exists (select from kyc.reviews r where r.applicant_id = a.id and r.reviewed_at + interval '5 years' <= now())
		 order by a.id limit 1`).Scan(&subject)
	return subject, pg.Wrap("look for an applicant to hold", err)
}

// purgeRow is a row of sweeper.purges, summed up over tenants.
type purgeRow struct {
	Category     string `json:"category"`
	RowsDeleted  int64  `json:"rows_deleted"`
	RowsRedacted int64  `json:"rows_redacted"`
	Tenants      int64  `json:"tenants"`
	Entries      int64  `json:"log_entries"`
	Dropped      int64  `json:"partitions_dropped"`
}

// purges shows what an auditor gets by SQL.
func (d *demo) purges(ctx context.Context) error {
	const query = `
  SELECT category, sum(rows_deleted), sum(rows_redacted), count(*), … FROM sweeper.purges GROUP BY category;`
	d.print("\nThe purges by category, as an auditor asks for them:%s", query)
	rows, err := d.admin.Query(ctx, `
		select category, sum(rows_deleted)::bigint, sum(rows_redacted)::bigint, count(distinct tenant),
		       (select count(*) from sweeper.purge_log l where l.category = p.category),
		       (select count(*) from sweeper.purge_log l where l.category = p.category and kind = 'drop_partition')
		  from sweeper.purges p group by category order by category`)
	if err != nil {
		return pg.Wrap("read the purges", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[purgeRow])
	if err != nil {
		return pg.Wrap("read the purges", err)
	}
	return printRows(d.stdout, formatTable, all)
}

// checkRow is one table of the demo's own check.
type checkRow struct {
	Table    string `json:"table"`
	Due      int64  `json:"due_before"`
	Gone     int64  `json:"gone"`
	Logged   int64  `json:"in_the_log"`
	Left     int64  `json:"due_left"`
	Held     int64  `json:"held_before"`
	StillHad int64  `json:"held_still_there"`
	Blocked  int64  `json:"still_referenced"`
	Redacted int64  `json:"redacted"`
	InLog    int64  `json:"redacted_in_the_log"`
	Verdict  string `json:"verdict"`
}

// compare judges what left by what was due, and both by the log.
func (d *demo) compare(before, after []observed) error {
	var rows []checkRow
	wrong := false
	for _, b := range before {
		// A table that is empty now does not appear.
		a := observed{table: b.table}
		if i := slices.IndexFunc(after, func(o observed) bool { return o.table == b.table }); i >= 0 {
			a = after[i]
		}
		r := checkRow{
			Table: b.table, Due: b.due + b.blocked, Gone: b.total - a.total, Logged: a.logged, Left: a.due, Held: b.held, StillHad: a.held,
			Blocked: a.blocked, Redacted: a.done - b.done, InLog: a.erased, Verdict: "ok",
		}
		// Rows can become due while the demo runs, never the other way round.
		if r.Gone < b.due || r.Gone > r.Due+r.Due/100+10 || r.Logged != r.Gone || r.StillHad < r.Held || r.Redacted != r.InLog || a.pending > 0 || a.due > 0 && !fresh(a, b) {
			r.Verdict, wrong = "WRONG", true
		}
		rows = append(rows, r)
	}
	d.print("\nSeen from outside, by another connection before and after:")
	if err := printRows(d.stdout, formatTable, rows); err != nil {
		return err
	}
	if wrong {
		return &exitError{exitIntegrity, errors.New("the demo's own check failed: the log, the tables and the policies do not agree")}
	}
	var gone, logged, held, blocked int64
	for _, r := range rows {
		gone, logged, held, blocked = gone+r.Gone, logged+r.Logged, held+r.StillHad, blocked+r.Blocked
	}
	d.print("%s", fmt.Sprintf("Checked: %d rows were due and are gone, the log has %d; %d held rows are all still there; %d stay because other rows reference them.", gone, logged, held, blocked))
	return nil
}

// fresh tells whether what is due now can have become due since the sweep.
func fresh(a, b observed) bool { return a.due <= b.total/10_000+1 }
