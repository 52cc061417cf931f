package purgelog

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// stamp is a row of sweeper.batches: what the purging side says of itself.
type stamp struct {
	fact, kind                                    string
	reason, category, relation, partition, tenant *string
	basis, actor, reference                       *string
	cutoff, startedAt                             *time.Time
	runID, requestID                              *[16]byte
	policy                                        []byte
	columns                                       []string
	rowCount                                      *int64
	tenants                                       *string
	xid                                           uint64
}

// report is a stamp's own count of what its transaction did to a relation. It may
// come in parts.
type report struct {
	relation, kind string
	rows           *int64
	tenant         *string // when all rows were of one tenant
	columns        []string
}

// add takes over another part of the report.
func (r *report) add(s *stamp) {
	if r.rows == nil || s.rowCount == nil {
		r.rows = nil
	} else {
		sum := *r.rows + *s.rowCount
		r.rows = &sum
	}
	if tenant := s.onlyTenant(); r.tenant != nil && (tenant == nil || *tenant != *r.tenant) {
		r.tenant = nil
	}
	for _, c := range s.columns {
		if !slices.Contains(r.columns, c) {
			r.columns = append(r.columns, c)
		}
	}
}

// facts takes in the rows of sweeper.batches that a transaction wrote.
func (a *appending) facts(c Change) error {
	for i := range c.Rows.Len() {
		s, err := readStamp(func(column string) (string, bool) { return c.Rows.Value(i, column) })
		if err != nil {
			return err
		}
		// The transaction id is a column default that nobody may set. One that
		// differs was written by somebody who may do anything, and attributes nothing.
		if uint32(s.xid) != a.tx.XID {
			e := a.entry("mismatch", relation{})
			e.Reason, e.Reference = nil, text("a stamp with the id of another transaction")
			a.after = append(a.after, e)
			continue
		}
		a.fact(s)
	}
	return nil
}

func (a *appending) fact(s *stamp) {
	switch s.fact {
	case "stamp":
		a.stamp = s
	case "report":
		key := s.kind + " " + value(s.relation)
		rep := a.report[key]
		if rep == nil {
			rep = &report{relation: value(s.relation), kind: s.kind, rows: s.rowCount, tenant: s.onlyTenant(), columns: s.columns}
			a.report[key] = rep
		} else {
			rep.add(s)
		}
		if s.whole() && !a.manifested(s) {
			e := a.entry(s.kind, relation{root: value(s.relation), leaf: value(s.partition)})
			e.RowCount, e.Tenant = s.rowCount, rep.tenant
			a.after = append(a.after, e)
		}
	case "hold":
		e := a.entry("hold", relation{})
		e.Reason = nil
		s.attribute(&e)
		if s.relation != nil {
			e.Relation = s.relation
		}
		e.Tenant = s.tenant
		a.after = append(a.after, e)
	case "vacuum":
		leaf := value(s.partition)
		if leaf == "" {
			leaf = value(s.relation)
		}
		e := a.entry("vacuum", relation{root: value(s.relation), leaf: leaf})
		s.attribute(&e)
		e.Reason = nil // it purges nothing
		a.after = append(a.after, e)
	case "run_end":
		a.ended = append(a.ended, s)
	}
}

// mismatches are the entries that say where the reports and the rows seen
// differ.
func (a *appending) mismatches() []proof.Entry {
	if a.stamp == nil || a.stamp.whole() && !a.manifested(a.stamp) {
		return nil
	}
	due := map[string]*report{a.stamp.kind + " " + value(a.stamp.relation): {relation: value(a.stamp.relation), kind: a.stamp.kind}}
	maps.Copy(due, a.report)
	var all []proof.Entry
	for _, key := range slices.Sorted(maps.Keys(due)) {
		rep := due[key]
		var seen int64
		for _, g := range a.groups {
			if g.root == rep.relation && g.kind == rep.kind {
				seen += g.rows.Count()
			}
		}
		if rep.rows != nil && *rep.rows == seen {
			continue
		}
		e := a.entry("mismatch", relation{root: rep.relation, leaf: rep.relation})
		e.RowCount = &seen
		e.Reference = text("the transaction wrote a stamp and no report")
		if rep.rows != nil {
			e.Reference = text(fmt.Sprintf("the transaction reported %d rows", *rep.rows))
		}
		all = append(all, e)
	}
	return all
}

// attribute copies what the stamp says into an entry.
func (s *stamp) attribute(e *proof.Entry) {
	e.Reason, e.Category, e.Cutoff = s.reason, s.category, s.cutoff
	e.Basis, e.Actor, e.Reference = s.basis, s.actor, s.reference
	e.RunID, e.RequestID, e.PolicySHA256 = s.runID, s.requestID, s.policy
	e.Tenant = s.tenant
	if s.xid != 0 {
		xid := int64(s.xid)
		e.XID = &xid
	}
}

// onlyTenant is the tenant of a report that names exactly one.
func (s *stamp) onlyTenant() *string {
	var tenants []struct{ Tenant *string }
	if s.tenants == nil || json.Unmarshal([]byte(*s.tenants), &tenants) != nil || len(tenants) != 1 {
		return nil
	}
	return tenants[0].Tenant
}

// readStamp reads the texts that the stream shows of a row of sweeper.batches.
func readStamp(get func(column string) (string, bool)) (*stamp, error) {
	r := stampReader{get: get}
	s := &stamp{
		fact: value(r.text("fact")), kind: value(r.text("kind")),
		reason: r.text("reason"), category: r.text("category"), relation: r.text("relation"), partition: r.text("partition"),
		tenant: r.text("tenant"), basis: r.text("basis"), actor: r.text("actor"), reference: r.text("reference"),
		cutoff: r.time("cutoff"), startedAt: r.time("started_at"), runID: r.uuid("run_id"), requestID: r.uuid("request_id"),
		policy: r.bytes("policy_sha256"), rowCount: r.number("row_count"), tenants: r.text("tenants"), columns: r.texts("columns"),
	}
	if xid := r.number("xid"); xid != nil {
		s.xid = uint64(*xid)
	}
	return s, r.err
}

// stampReader turns column texts into values and keeps the first error.
type stampReader struct {
	get func(column string) (string, bool)
	err error
}

func (r *stampReader) text(column string) *string {
	if v, ok := r.get(column); ok {
		return &v
	}
	return nil
}

// parse reads a column's text with f; a text that does not parse is named by
// its column alone.
func parse[T any](r *stampReader, column string, f func(string) (T, error)) *T {
	s, ok := r.get(column)
	if !ok {
		return nil
	}
	v, err := f(s)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("read column %s of sweeper.batches from the stream: unexpected form", column)
	}
	return &v
}

func (r *stampReader) time(column string) *time.Time {
	return parse(r, column, func(s string) (time.Time, error) { return time.Parse("2006-01-02 15:04:05.999999Z07", s) })
}

func (r *stampReader) uuid(column string) *[16]byte {
	id := parse(r, column, uuid.Parse)
	return (*[16]byte)(id)
}

func (r *stampReader) number(column string) *int64 {
	return parse(r, column, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
}

func (r *stampReader) bytes(column string) []byte {
	b := parse(r, column, func(s string) ([]byte, error) { return hex.DecodeString(strings.TrimPrefix(s, `\x`)) })
	if b == nil {
		return nil
	}
	return *b
}

func (r *stampReader) texts(column string) []string {
	list := parse(r, column, parseArray)
	if list == nil {
		return nil
	}
	return *list
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
