package sweeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

// States of one row beside those of the vocabulary.
const (
	RowNotSelected = "not_selected" // the category's where leaves it out
	RowDone        = "done"         // it is redacted already
	RowDisabled    = "disabled"     // the category is
	RowAbsent      = "absent"       // the table has no row with this key
)

// Explained is how one row stands under one disposition of one category. It
// holds no value of the row but what its start makes of it: the due date.
type Explained struct {
	Category     string     `json:"category"`
	Relation     string     `json:"relation"`
	Partition    string     `json:"partition,omitempty"`
	Disposition  string     `json:"disposition"`
	State        string     `json:"state"`
	Window       string     `json:"window"`
	WindowSource string     `json:"window_source"`
	Basis        string     `json:"basis"`
	DueAt        *time.Time `json:"due_at"`  // by this category alone
	GoesAt       *time.Time `json:"goes_at"` // the sweep that takes it, if nothing changes; NULL: none
	Reasons      []string   `json:"reasons"` // each thing that keeps it
}

// Logged is an entry of the purge log about one row.
type Logged struct {
	Seq         int64      `json:"seq"`
	Kind        string     `json:"kind"`
	Reason      *string    `json:"reason"`
	Category    *string    `json:"category"`
	CommittedAt *time.Time `json:"committed_at"`
	RunID       *uuid.UUID `json:"run_id"`
}

// RowStory is all that is known of one row.
type RowStory struct {
	Exists   bool
	Standing []Explained
	Log      []Logged
	Searched bool     // the log was searched: there is a key to search with
	Whole    int64    // partitions of the relation that went whole with no commitments, or were truncated: the log cannot tell whether the row was in them
	Detached []string // partitions of the relation that were detached with their rows, and are tables still
}

// Explain tells why a row is kept, or when and why it goes, as of the database's
// clock or as of asOf; and what the purge log says of it. table is schema.name,
// key the text of the key column, or a JSON array of texts of several.
func Explain(ctx context.Context, cfg Config, set policy.Set, table, key string, asOf time.Time) (*RowStory, error) {
	conn, _, err := cfg.open(ctx, cfg.DatabaseURL, "sweeper explain", roleDaemon, func(server) error { return nil })
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := purgelog.CheckHMACKey(ctx, conn, cfg.hmacKeys()...); err != nil {
		return nil, err
	}
	p, cat, m, err := buildFitting(ctx, conn, cfg, set, asOf)
	if err != nil {
		return nil, err
	}
	if len(m) > 0 {
		return nil, plan.Join(set, m)
	}
	t := governedTable(set, cat, table)
	if t == nil {
		return nil, &SetupError{fmt.Sprintf("no policy governs %s", table), "see: sweeper lint -o json"}
	}
	parts, err := keyParts(t, key)
	if err != nil {
		return nil, err
	}
	e := &explainer{cfg: cfg, conn: conn, plan: p, table: t, parts: parts}
	story := &RowStory{Standing: []Explained{}, Log: []Logged{}}
	o := plan.Options{AsOf: p.AsOf, BatchRows: cfg.BatchRows, Publication: cfg.Publication, HMACKey: cfg.HMACKey.First.Bytes()}
	for _, x := range plan.Explain(p, set, cat, t.Name, o) {
		one, err := e.standing(ctx, x)
		if err != nil {
			return nil, err
		}
		if one != nil {
			story.Exists = true
			story.Standing = append(story.Standing, *one)
		}
	}
	if story.Exists {
		story.Standing = append(story.Standing, disabled(set, t)...)
	}
	return story, e.logged(ctx, story)
}

// governedTable finds a table by its name as texts or as policies write it.
func governedTable(set policy.Set, cat *catalog.Catalog, name string) *catalog.Table {
	for _, c := range set.Categories {
		t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
		if t != nil && (name == t.Text || name == t.Name.String() || name == c.Table) {
			return t
		}
	}
	return nil
}

// disabled are the categories over a table that do nothing to it.
func disabled(set policy.Set, t *catalog.Table) []Explained {
	var all []Explained
	for _, c := range set.Categories {
		if !c.Enabled && c.Schema == t.Name.Schema && c.Relation == t.Name.Relation {
			all = append(all, Explained{Category: c.Name, Relation: t.Text, State: RowDisabled, Basis: c.Basis, Reasons: []string{"the category is disabled"}})
		}
	}
	return all
}

// keyParts splits a key into the texts of its columns.
func keyParts(t *catalog.Table, key string) ([]string, error) {
	columns := t.Key()
	if len(columns) == 1 {
		return []string{key}, nil
	}
	var parts []string
	if err := json.Unmarshal([]byte(key), &parts); err != nil || len(parts) != len(columns) {
		return nil, &SetupError{
			fmt.Sprintf("the key of %s has %d columns (%s)", t.Name, len(columns), strings.Join(columns, ", ")),
			`write it as a JSON array of texts in this order, as ["a","1"]`,
		}
	}
	return parts, nil
}

type explainer struct {
	cfg   Config
	conn  *pgx.Conn
	plan  *plan.Plan
	table *catalog.Table
	parts []string
}

func (e *explainer) key() []any {
	all := make([]any, len(e.parts))
	for i, part := range e.parts {
		all[i] = part
	}
	return all
}

// badKey tells a key that the column's type does not take from other errors. The
// key itself is not repeated.
func (e *explainer) badKey(err error) error {
	if code := pg.SQLState(err); strings.HasPrefix(code, "22") {
		return &SetupError{fmt.Sprintf("the key is no value of %s, the key of %s", strings.Join(e.table.Key(), ", "), e.table.Name), "write it as PostgreSQL prints it"}
	}
	return pg.Wrap("look at a row of "+e.table.Text, err)
}

// rowFacts is the answer to a question of plan.Explain.
type rowFacts struct {
	selected, started, future, due, pending bool
	dueAt                                   *time.Time
	window                                  *string // of the tenant
	holds                                   []int64
	blockers, keepers                       []string
	keptUntil                               []*time.Time
}

// standing asks one question; nil: there is no such row.
func (e *explainer) standing(ctx context.Context, x plan.Explanation) (*Explained, error) {
	c := x.Category.Policy
	one := &Explained{Category: c.Name, Relation: e.table.Text, Disposition: x.Disposition, WindowSource: "policy", Basis: c.Basis, Reasons: []string{}}
	var f rowFacts
	err := e.conn.QueryRow(ctx, x.SQL, append(e.key(), x.Args...)...).Scan(&one.Partition, &f.selected, &f.started, &f.future, &f.dueAt, &f.window, &f.due, &f.pending,
		&f.holds, &f.blockers, &f.keepers, &f.keptUntil)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, e.badKey(err)
	}
	switch x.Disposition {
	case plan.Delete:
		one.Window = c.Delete.String()
	case plan.Redact:
		one.Window = c.Redact.After.String()
	case plan.Restrict:
		one.Window = c.Restrict.After.String()
		f.holds = nil // they suspend what changes a row, and this changes nothing
	}
	if f.window != nil {
		one.Window, one.WindowSource = *f.window, "tenant"
	}
	one.DueAt = f.dueAt
	one.State = f.state(x.Disposition)
	one.Reasons = append(one.Reasons, f.reasons(c, e.plan.AsOf)...)
	if x.Disposition == plan.Restrict {
		if one.State == "due" {
			one.Reasons = append(one.Reasons, hides(c))
		}
		return one, nil
	}
	return one, e.goes(ctx, x.Category, one, f)
}

// hides says what a restriction does to a row whose time has come.
func hides(c policy.Category) string {
	if c.Mode == "observe" {
		return "the category only observes"
	}
	return fmt.Sprintf("readers of the view in schema %s do not see its columns %s", plan.RestrictedSchema, strings.Join(c.Restrict.Columns, ", "))
}

func (f rowFacts) state(disposition string) string {
	switch {
	case !f.selected:
		return RowNotSelected
	case !f.started:
		return "not_started"
	case f.future:
		return "future"
	case !f.pending:
		return RowDone
	case !f.due || len(f.keepers) > 0:
		return "scheduled"
	case len(f.holds) > 0:
		return "held"
	case len(f.blockers) > 0:
		return "blocked"
	}
	return "due"
}

// reasons are all that keep the row, not only the one that its state names.
func (f rowFacts) reasons(c policy.Category, asOf time.Time) []string {
	var all []string
	switch {
	case !f.selected:
		return []string{"the where of the category does not select it"}
	case !f.started && c.Start.Event != "":
		return []string{fmt.Sprintf("its period has not begun: there is no %s", c.Start.Event)}
	case !f.started:
		return []string{"its period has not begun: it has no start"}
	case !f.pending:
		return []string{"it is redacted already"}
	}
	if f.future {
		all = append(all, "its start lies in the future")
	}
	if !f.due && f.dueAt != nil {
		all = append(all, fmt.Sprintf("it is not due before %s", f.dueAt.UTC().Format(time.RFC3339)))
	}
	for i, name := range f.keepers {
		until := "without an end, or its period has not begun there"
		if f.keptUntil[i] != nil {
			until = "until " + f.keptUntil[i].UTC().Format(time.RFC3339)
		}
		all = append(all, fmt.Sprintf("category %s keeps it %s", name, until))
	}
	for _, id := range f.holds {
		all = append(all, fmt.Sprintf("legal hold %d is over it", id))
	}
	for _, b := range f.blockers {
		if strings.HasPrefix(b, "foreign key") {
			b += " still references it, or a row that would go along"
		}
		all = append(all, b)
	}
	return all
}

// missedAfter is how late a sweep may begin before it is said that none has.
const missedAfter = time.Minute

// goes tells which sweep will take the row, and what else is in the way of it.
func (e *explainer) goes(ctx context.Context, c *plan.Category, one *Explained, f rowFacts) error {
	var next, last *time.Time
	var state, reason, paused *string
	var now time.Time
	err := e.conn.QueryRow(ctx, `
		select s.next_due, r.state, r.stop_reason, clock_timestamp(),
		       (select format('by %s since %s', x.actor, to_char(timezone('UTC', x.paused_at), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) from sweeper.paused x where x.category = $1)
		  from (select) one
		  left join sweeper.schedules s on s.category = $1
		  left join lateral (select state, stop_reason from sweeper.runs where category = $1 order by started_at desc limit 1) r on true`, c.Policy.Name).Scan(&next, &state, &reason, &now, &paused)
	if err != nil {
		return pg.Wrap("look at the schedule of category "+c.Policy.Name, err)
	}
	last = f.dueAt
	for _, until := range f.keptUntil {
		if until == nil {
			last = nil
			break
		}
		if last != nil && until.After(*last) {
			last = until
		}
	}
	switch {
	case c.Policy.Mode == "observe":
		one.Reasons = append(one.Reasons, "the category only observes")
		return nil
	case !c.Covered:
		one.Reasons = append(one.Reasons, "the table awaits coverage: "+c.Publish)
		return nil
	case state != nil && *state == "awaiting_approval":
		one.Reasons = append(one.Reasons, "the last run awaits approval: "+*reason)
		return nil
	case paused != nil:
		one.Reasons = append(one.Reasons, "the category is paused "+*paused)
		return nil
	case last == nil || !f.selected || !f.pending || len(f.holds) > 0 || len(f.blockers) > 0 || next == nil:
		return nil
	}
	at, err := sweepAfter(c.Policy, *next, *last)
	if err != nil {
		return err
	}
	window, err := schedule.ParseWindow(e.cfg.Window, e.cfg.Timezone)
	if err != nil {
		return err
	}
	if open := window.NextOpen(at); open.After(at) {
		one.Reasons = append(one.Reasons, fmt.Sprintf("SWEEPER_WINDOW is closed until %s", open.UTC().Format(time.RFC3339)))
		at = open
	}
	if now.Sub(at) > missedAfter {
		if state == nil || *state != "running" {
			one.Reasons = append(one.Reasons, fmt.Sprintf("its sweep was to begin at %s, and no daemon has run it; see: sweeper status", at.UTC().Format(time.RFC3339)))
		}
		return nil
	}
	one.GoesAt = &at
	return nil
}

// sweepAfter is the first slot of a category that finds a row due: the stored
// next one, or one after it.
func sweepAfter(c policy.Category, next, due time.Time) (time.Time, error) {
	if !next.Before(due) {
		return next, nil
	}
	s, err := schedule.Parse(c.Schedule, c.Timezone)
	return s.Next(due.Add(-time.Microsecond)), err
}
