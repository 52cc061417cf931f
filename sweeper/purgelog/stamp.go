package purgelog

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pgsweeper/sweeper/sweeper/pg"
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
	writer                                        *string // the role that wrote the row; nil: from before that was kept
	evidence                                      string  // row: each row is to have an entry of its own
}

// owner is the role that the installed functions run as.
const owner = "sweeper_owner"

// installed tells that one of the installed functions wrote the row, and not
// the purging role by itself.
func (s *stamp) installed() bool { return s.writer == nil || *s.writer == owner }

// report is a stamp's own count of what its transaction did to a relation. It may
// come in parts.
type report struct {
	relation, kind string
	rows           *int64
	tenant         *string // when all rows were of one tenant
	columns        []string
	unnamed        bool // there was none, and rows were seen
}

// named tells that the transaction said that it does this to this relation.
// What it did beside that is not attributed to its run.
func (a *appending) named(g *group) bool {
	return a.stamp != nil && (a.stamp.kind == g.kind && value(a.stamp.relation) == g.root || a.report[g.kind+" "+g.root] != nil)
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
func (a *appending) facts(ctx context.Context, c Change) error {
	for i := range c.Rows.Len() {
		s, err := readStamp(func(column string) (string, bool) { return c.Rows.Value(i, column) })
		if err != nil {
			return err
		}
		// The transaction id is a column default that nobody may set. One that
		// differs was written by somebody who may do anything, and attributes nothing.
		if uint32(s.xid) != a.tx.XID {
			a.disbelieve("a stamp with the id of another transaction")
			continue
		}
		if err := a.fact(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// disbelieve says in the log that a row of sweeper.batches attributes nothing.
func (a *appending) disbelieve(why string) {
	e := a.entry("mismatch", relation{})
	e.Reason, e.Reference = nil, &why
	a.after = append(a.after, e)
}

// stamped takes a stamp over, if it can be one: it is the first row of its
// transaction, the only one, and of a policy that was registered. One of a
// whole partition, of which the stream shows no row, is believed only of the
// function that takes partitions.
func (a *appending) stamped(ctx context.Context, s *stamp) error {
	known, err := a.knows(ctx, s)
	switch {
	case err != nil:
		return err
	case a.stamp != nil:
		a.disbelieve("a second stamp in one transaction")
	case a.worked:
		a.disbelieve("a stamp behind the first rows of its transaction")
	case !known:
		a.disbelieve("a stamp of a category or a policy that was never registered")
	case s.whole() && !s.installed():
		a.disbelieve("a stamp of a partition that no installed function wrote")
	default:
		a.stamp = s
	}
	return nil
}

// knows tells whether category and policy of a stamp are among those that the
// sweeper has registered. What a sweep or a schedule purges has both.
func (l *Log) knows(ctx context.Context, s *stamp) (known bool, err error) {
	if reason := value(s.reason); (s.policy == nil || s.category == nil) && (reason == "manual" || reason == "retention_cron") {
		return false, nil
	}
	key := value(s.category) + "\x00" + string(s.policy)
	if l.registered[key] {
		return true, nil
	}
	l.relations.mu.Lock()
	defer l.relations.mu.Unlock()
	err = l.relations.conn.QueryRow(ctx, `
		select ($1::bytea is null or exists (select from sweeper.policy_versions where policy_sha256 = $1))
		   and ($2::text is null or exists (select from sweeper.governed where category = $2) or exists (select from sweeper.runs where category = $2))`,
		s.policy, s.category).Scan(&known)
	if known {
		l.registered[key] = true
	}
	return known, pg.Wrap("look for the policy of a stamp", err)
}

func (a *appending) fact(ctx context.Context, s *stamp) error {
	switch s.fact {
	case "stamp":
		return a.stamped(ctx, s)
	case "report":
		if s.whole() && (!s.installed() || a.stamp == nil) {
			a.disbelieve("a report of a partition that no installed function wrote")
			return nil
		}
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
	case "ddl":
		a.ddl(s)
	}
	return nil
}

// mismatches are the entries that say where the reports and the rows seen
// differ.
func (a *appending) mismatches() []proof.Entry {
	if a.stamp == nil || a.stamp.whole() && !a.manifested(a.stamp) {
		return nil
	}
	due := map[string]*report{a.stamp.kind + " " + value(a.stamp.relation): {relation: value(a.stamp.relation), kind: a.stamp.kind}}
	maps.Copy(due, a.report)
	for _, g := range a.groups {
		if !a.named(g) {
			due[g.kind+" "+g.root] = &report{relation: g.root, kind: g.kind, unnamed: true}
		}
	}
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
		switch {
		case rep.unnamed:
			e.Reference = text("the transaction wrote a stamp and did not name this table")
		case rep.rows != nil:
			e.Reference = text(fmt.Sprintf("the transaction reported %d rows", *rep.rows))
		default:
			e.Reference = text("the transaction wrote a stamp and no report")
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
		writer: r.text("writer"), evidence: value(r.text("evidence")),
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
