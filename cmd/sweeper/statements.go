package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// statementRow is one statement of one step, as plan --sql prints it.
type statementRow struct {
	Category   string   `json:"category"`
	Kind       string   `json:"kind"`
	Relation   string   `json:"relation"`
	Partition  *string  `json:"partition"`
	Walk       string   `json:"walk"`
	Statement  string   `json:"statement"`
	SQL        string   `json:"sql"`
	Parameters []string `json:"parameters"` // from $1 on
}

// varying names the parameters that differ from one execution to the next;
// those that the plan fixes follow them.
var varying = map[string][]string{
	"first": nil,
	"next":  {"the lower bound", "the rows of a batch"},
	"batch": {"the lower bound", "the upper bound"},
	"split": {"the lower bound", "the upper bound", "the rows of a batch", "the first place", "the last place"},
	"part":  {"the lower bound", "the upper bound", "the first place", "the last place"},
	"total": {"the rows", "the run"},
	"probe": nil,
	"drop":  {"the run", "the reason", "the actor", "the policies' SHA-256", "the cutoff"},
}

// statements lists what the steps of a plan execute, in the order in which it
// is executed first.
func statements(p *plan.Plan) []statementRow {
	rows := []statementRow{}
	for _, c := range p.Categories() {
		for i := range c.Steps {
			rows = append(rows, ofStep(&c.Steps[i])...)
			if byRows := c.Steps[i].Rows; byRows != nil {
				rows = append(rows, ofStep(byRows)...)
			}
		}
	}
	return rows
}

func ofStep(s *plan.Step) []statementRow {
	var rows []statementRow
	for _, one := range []struct {
		name  string
		query plan.Query
	}{{"probe", s.Probe}, {"drop", s.Drop}, {"first", s.First}, {"next", s.Next}, {"batch", s.Batch}, {"split", s.Split}, {"part", s.Part}, {"total", s.Total}} {
		if one.query.SQL == "" {
			continue
		}
		names := varying[one.name]
		if reports := s.Total.SQL == "" && (one.name == "batch" || one.name == "part"); reports {
			names = append(slices.Clone(names), "the run")
		}
		r := statementRow{
			Category: s.Category, Kind: s.Kind, Relation: s.Relation, Walk: s.Walk,
			Statement: one.name, SQL: one.query.SQL, Parameters: parameters(names, one.query.Args),
		}
		if s.Partition != "" {
			r.Partition = &s.Partition
		}
		rows = append(rows, r)
	}
	return rows
}

// parameters shows what stands for $1 and so on. Bytes are keys.
func parameters(names []string, fixed []any) []string {
	all := []string{}
	for _, name := range names {
		all = append(all, "("+name+")")
	}
	for _, v := range fixed {
		if _, key := v.([]byte); key {
			all = append(all, "(a key)")
			continue
		}
		all = append(all, "'"+strings.ReplaceAll(fmt.Sprint(v), "'", "''")+"'")
	}
	return all
}

// printStatements prints the statements of a plan, for people as SQL with
// comments.
func (a *app) printStatements(f format, p *plan.Plan) error {
	rows := statements(p)
	if f != formatTable {
		return printRows(a.stdout, f, rows)
	}
	var b strings.Builder
	for _, r := range rows {
		place := r.Relation
		if r.Partition != nil {
			place += ", partition " + *r.Partition
		}
		fmt.Fprintf(&b, "-- %s: %s of %s, walk %s: %s\n%s;\n", r.Category, r.Kind, place, r.Walk, r.Statement, r.SQL)
		for i, value := range r.Parameters {
			fmt.Fprintf(&b, "--   $%d = %s\n", i+1, strings.ReplaceAll(value, "\n", `\n`))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(a.stdout, cleanLines(b.String()))
	return err
}
