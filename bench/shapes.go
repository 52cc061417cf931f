package main

import (
	"context"
	"fmt"
)

// shape is a table of another build than that of the targets.
type shape struct {
	line, ddl, policies, bare string
	fewer                     int // so many times fewer rows
}

// shapeTable is a quarter of the rows, with an index on the start and the key.
// Verbs: rows, payload.
const shapeTable = `
	create schema bench;
	create table bench.rows (id bigint primary key, at timestamptz not null, who text not null, payload text not null);
	insert into bench.rows
	  select i, now() - interval '10 years' * (1 - (i - 0.5) / %[1]d) + interval '1 day' * sign(2 * i - %[1]d - 1), 'u' || i %% 100000, %[2]s from generate_series(1, %[1]d) i;
	create index on bench.rows (at);`

const childPolicies = `version: 1
categories:
  rows:
    table: bench.rows
    subject: who
    start_from: at
    delete: {after: P5Y}
    limits: {max_share: 1}
    children:
      - {table: bench.parts, match: {row_id: id}}
`

const childTable = `
	create table bench.parts (id bigint primary key, row_id bigint not null references bench.rows, note text);
	insert into bench.parts select i, 1 + (i - 1) / 2, repeat('y', 50) from generate_series(1, 2 * %[1]d) i;`

// noIndex leaves the key alone, so that a walk goes by blocks.
const noIndex = `
	drop index bench.rows_at_idx;`

const bareFamily = `delete from bench.parts where row_id in (select id from bench.rows where at <= now() - interval '5 years'); ` + bareDelete

var shapes = []shape{
	{line: "shape-narrow", ddl: shapeTable, policies: rowsOnly, bare: bareDelete},
	{line: "shape-wide-2-kb", ddl: shapeTable, policies: rowsOnly, bare: bareDelete},
	{line: "shape-0-indexes", ddl: shapeTable + noIndex, policies: rowsOnly, bare: bareDelete},
	{line: "shape-6-indexes", policies: rowsOnly, bare: bareDelete, ddl: shapeTable + `
		create index on bench.rows (who); create index on bench.rows (payload); create index on bench.rows (id, at); create index on bench.rows (who, at); create index on bench.rows (md5(payload || id));`},
	{line: "shape-tenant", ddl: shapeTable, policies: tenantRows, bare: bareDelete},
	{line: "shape-children", ddl: shapeTable + childTable + `create index on bench.parts (row_id);`, policies: childPolicies, bare: bareFamily},
	// Each row that goes has the server look through all children.
	{line: "shape-children-without-index", ddl: shapeTable + childTable, policies: childPolicies, bare: bareFamily, fewer: 100},
}

const rowsOnly = `version: 1
categories:
  rows: {table: bench.rows, subject: who, start_from: at, delete: {after: P5Y}, limits: {max_share: 1}}
`

const tenantRows = `version: 1
categories:
  rows: {table: bench.rows, subject: who, tenant: who, start_from: at, delete: {after: P5Y}, limits: {max_share: 1}}
`

var shapesGroup = group{
	lines:   []string{"shape-narrow", "shape-wide-2-kb", "shape-0-indexes", "shape-6-indexes", "shape-tenant", "shape-children", "shape-children-without-index"},
	measure: measureShapes,
}

func measureShapes(ctx context.Context, b *bench) error {
	for i, sh := range shapes {
		if !b.wants(sh.line) {
			continue
		}
		payload := map[string]string{"shape-narrow": `''`, "shape-wide-2-kb": `(select string_agg(md5(i::text || k), '') from generate_series(1, 60) k)`}[sh.line]
		if payload == "" {
			payload = `repeat('x', 100)`
		}
		template := fmt.Sprintf("shape%d", i)
		n := b.rows / 4 / max(1, sh.fewer)
		if err := b.template(ctx, template, fmt.Sprintf(sh.ddl, n, payload)); err != nil {
			return err
		}
		var bare, ours []float64
		for range b.runs {
			s, err := b.site(ctx, template, "")
			if err != nil {
				return err
			}
			took, err := s.exec(ctx, sh.bare)
			if err != nil {
				return err
			}
			bare = append(bare, took)
			if err := s.drop(ctx); err != nil {
				return err
			}
			if s, err = b.site(ctx, template, sh.policies); err != nil {
				return err
			}
			t, err := s.swept(ctx, "rows", int64(n/2))
			if err != nil {
				return err
			}
			ours = append(ours, t.deleted)
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
		b.add(sh.line, middle(ours)/middle(bare), "x its time", fmt.Sprintf("bare DELETEs of the same rows, %d due, %.2f s", n/2, middle(bare)), figure)
		if _, err := b.admin.Exec(ctx, `drop database `+template); err != nil {
			return err
		}
	}
	return nil
}
