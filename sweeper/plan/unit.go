package plan

import (
	"fmt"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// sampled is how many rows a check of a unit reads.
const sampled = 10_000

// unitChecks asks whether the unit of an integer start can be meant: whether it
// puts most of the values between 1990 and 2100. Seconds read as milliseconds
// would all be of 1970, and so due; a single odd value is left alone as a row.
func unitChecks(c policy.Category, cat *catalog.Catalog) []Check {
	if c.Start.Unit == "" {
		return nil
	}
	table := catalog.Name{Schema: c.Schema, Relation: c.Relation}
	if c.Start.From != nil {
		table = catalog.Name{Schema: c.Start.From.Schema, Relation: c.Start.From.Relation}
	}
	name := catalog.Quote(c.Start.Column)
	per := perSecond[c.Start.Unit]
	ask := func(outside string) Query {
		return Query{SQL: fmt.Sprintf("SELECT 2 * count(*) FILTER (WHERE %[1]s %[2]s) <= count(*) FROM (SELECT %[1]s FROM %[3]s LIMIT %[4]d) s WHERE %[1]s IS NOT NULL",
			name, outside, cat.Tables[table].Name.Quoted(), sampled)}
	}
	fail := func(where, hint string) *policy.Error {
		return c.Fail("start_from.unit", "with unit %s, most of the sampled values of column %q of %s lie %s%s", c.Start.Unit, c.Start.Column, table, where, hint)
	}
	old, young := fmt.Sprintf("< %d", firstEpoch.Unix()*per), fmt.Sprintf(">= %d", lastEpoch.Unix()*per)
	return []Check{{
		Query:   ask(fmt.Sprintf("%s OR %s %s", old, name, young)),
		Refusal: fail("before 1990 or after the year 2100", ""),
		Reads:   true,
		Each: []Check{
			{Query: ask(old), Refusal: fail("before 1990", map[string]string{"ms": "; is the unit s?", "us": "; is the unit ms, or s?"}[c.Start.Unit]), Reads: true},
			{Query: ask(young), Refusal: fail("after the year 2100", map[string]string{"s": "; is the unit ms?", "ms": "; is the unit us?"}[c.Start.Unit]), Reads: true},
		},
	}}
}
