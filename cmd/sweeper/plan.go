package main

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// planRow is one disposition of one category over its relation.
type planRow struct {
	Category    string  `json:"category"`
	Relation    string  `json:"relation"`
	Disposition string  `json:"disposition"`
	Due         int64   `json:"due"`
	Held        int64   `json:"held"`
	Blocked     int64   `json:"blocked"`
	NotStarted  int64   `json:"not_started"`
	Future      int64   `json:"future"`
	Scheduled   int64   `json:"scheduled"`
	Partitions  int64   `json:"partitions"` // that go whole, as far as the rows in them are known now
	Children    int64   `json:"children"`
	Batches     int64   `json:"batches"` // estimated
	Walk        *string `json:"walk"`    // NULL: no step, nothing can be due
	Coverage    string  `json:"coverage"`
	PlanHash    string  `json:"plan_hash"`

	// What is behind the numbers; for people it stands in lines below the table.
	ScheduledEstimated bool                  `json:"scheduled_estimated" table:"-"`
	HeldBy             []sweeper.HeldBy      `json:"held_by" table:"-"`
	BlockedBy          []sweeper.BlockedBy   `json:"blocked_by" table:"-"`
	ChildTables        []sweeper.ChildRows   `json:"child_tables" table:"-"`
	DroppedPartitions  []sweeper.DroppedLeaf `json:"dropped_partitions" table:"-"`
	KeptPartitions     []sweeper.KeptLeaf    `json:"kept_partitions" table:"-"`
	WalkReason         *string               `json:"walk_reason" table:"-"`
	WALBytes           int64                 `json:"wal_bytes" table:"-"`       // estimated
	Seconds            float64               `json:"seconds" table:"-"`         // estimated
	RowsPerSecond      float64               `json:"rows_per_second" table:"-"` // that seconds counts with
	RateFrom           string                `json:"rate_from" table:"-"`       // runs, default, limit
	Mode               string                `json:"mode" table:"-"`
	Paused             *string               `json:"paused" table:"-"`          // by whom, and since when; NULL: it is not
	AwaitsApproval     *string               `json:"awaits_approval" table:"-"` // why a run would; NULL: it would not
	Limits             sweeper.Limits        `json:"limits" table:"-"`
}

// planFlags are what the command line says.
type planFlags struct {
	category, asOf string
	sql            bool
}

func newPlan(a *app) *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a sweep would do, and change nothing",
		Long: `Counts the rows of each category by their state, and shows how they would go: one row
for each category, relation and disposition. It changes nothing.
Numbers are as of the database's clock, or of --as-of; a date there means its start.
Of large tables the number of scheduled rows is an estimate (scheduled_estimated in JSON).
plan_hash is what an approval is bound to. JSON and CSV also name the holds, foreign keys,
children and partitions behind the numbers, estimate time and write-ahead log, and tell
of what keeps a run from beginning (a pause, an approval that it would wait for) and of
the limits that it keeps to.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&flags.category, "category", "", "this category alone")
	cmd.Flags().StringVar(&flags.asOf, "as-of", "", "the time to judge by, in SWEEPER_TIMEZONE unless it has a zone")
	cmd.Flags().BoolVar(&flags.sql, "sql", false, "print the statements of each step instead")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		preview, cfg, err := a.preview(cmd.Context(), flags)
		if err != nil {
			return err
		}
		if flags.sql {
			return a.printStatements(*output, preview.Plan)
		}
		if err := printRows(a.stdout, *output, planRows(preview, cfg)); err != nil {
			return err
		}
		if *output == formatTable {
			return a.tellPlan(preview, cfg)
		}
		return nil
	}
	return cmd
}

func (a *app) preview(ctx context.Context, flags planFlags) (*sweeper.Preview, sweeper.Config, error) {
	cfg, _, set, err := a.prepare("plan", sweeper.NeedDatabase)
	if err != nil {
		return nil, cfg, err
	}
	var asOf time.Time
	if flags.asOf != "" {
		if asOf, err = instant(cfg, "as-of", flags.asOf, false); err != nil {
			return nil, cfg, err
		}
	}
	preview, err := sweeper.Plan(ctx, cfg, set, asOf, flags.category)
	return preview, cfg, err
}

func planRows(p *sweeper.Preview, cfg sweeper.Config) []planRow {
	rows := []planRow{}
	for _, c := range p.Plan.Categories() {
		for i, s := range p.States[c.Policy.Name] {
			d := p.Details[c.Policy.Name][i]
			r := planRow{
				Category: c.Policy.Name, Relation: c.Table.Text, Disposition: s.Disposition,
				Due: s.Due, Held: s.Held, Blocked: s.Blocked, NotStarted: s.NotStarted, Future: s.Future, Scheduled: s.Scheduled,
				Partitions: int64(len(d.Dropped)), Children: d.ChildCount(),
				Batches: (s.Due + int64(cfg.BatchRows) - 1) / int64(cfg.BatchRows), Walk: walks(c, s.Disposition), Coverage: coverage(c), PlanHash: c.Hash,
				ScheduledEstimated: s.Estimated, HeldBy: listed(d.HeldBy), BlockedBy: listed(d.BlockedBy), ChildTables: listed(d.Children),
				DroppedPartitions: listed(d.Dropped), KeptPartitions: listed(d.Kept),
				WALBytes: d.Estimate.WALBytes, Seconds: math.Round(d.Estimate.Seconds*1000) / 1000,
				RowsPerSecond: math.Round(d.Estimate.RowsPerSecond), RateFrom: "default",
			}
			if d.WalkWhy != "" {
				r.WalkReason = &d.WalkWhy
			}
			switch {
			case d.Estimate.Limited:
				r.RateFrom = "limit"
			case d.Estimate.Measured:
				r.RateFrom = "runs"
			}
			r.restrain(c, p.Restraints[c.Policy.Name])
			rows = append(rows, r)
		}
		if s, ok := p.Restricted[c.Policy.Name]; ok {
			r := restrictedRow(c, s)
			r.restrain(c, sweeper.Restraint{}) // a view knows of none
			rows = append(rows, r)
		}
	}
	return rows
}

// restrain adds what runs of the category keep to.
func (r *planRow) restrain(c *plan.Category, by sweeper.Restraint) {
	r.Mode, r.Limits = c.Policy.Mode, by.Limits
	if by.Paused != "" {
		r.Paused = &by.Paused
	}
	if by.Approval != "" {
		r.AwaitsApproval = &by.Approval
	}
}

// restrictedRow has the rows that a view hides columns of. Nothing is done to
// them, and no hold keeps them from being hidden.
func restrictedRow(c *plan.Category, s purge.States) planRow {
	walk, why := "view", "columns are hidden by a view, and no row is changed"
	return planRow{
		Category: c.Policy.Name, Relation: c.Table.Text, Disposition: s.Disposition,
		Due: s.Due, NotStarted: s.NotStarted, Future: s.Future, Scheduled: s.Scheduled,
		Walk: &walk, Coverage: coverage(c), PlanHash: c.Hash, ScheduledEstimated: s.Estimated, WalkReason: &why, RateFrom: "default",
		HeldBy: []sweeper.HeldBy{}, BlockedBy: []sweeper.BlockedBy{}, ChildTables: []sweeper.ChildRows{},
		DroppedPartitions: []sweeper.DroppedLeaf{}, KeptPartitions: []sweeper.KeptLeaf{},
	}
}

// listed is an empty list in the place of none.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// walks are those of the steps of a disposition, each once, in the order of the
// alphabet.
func walks(c *plan.Category, disposition string) *string {
	var found []string
	for _, s := range c.Steps {
		if s.Kind != disposition && (s.Walk != plan.WalkPartition || disposition != plan.Delete) {
			continue
		}
		if !slices.Contains(found, s.Walk) {
			found = append(found, s.Walk)
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	all := strings.Join(found, ", ")
	return &all
}

func coverage(c *plan.Category) string {
	if c.Covered {
		return "covered"
	}
	return "awaiting"
}

// tellPlan adds to the table what people ask next.
func (a *app) tellPlan(p *sweeper.Preview, cfg sweeper.Config) error {
	a.say("as of %s", shown(p.Plan.AsOf))
	if cfg.Window != "" {
		closed, err := cfg.ClosedUntil(a.now())
		if err != nil {
			return err
		}
		text := "which is open now"
		if !closed.IsZero() {
			text = "which opens at " + shown(closed)
		}
		a.say("runs by schedule begin in SWEEPER_WINDOW alone, %s %s, %s", cfg.Window, cfg.Timezone, text)
	}
	for _, c := range p.Plan.Categories() {
		for i, s := range p.States[c.Policy.Name] {
			a.say("%s: %s takes what started up to %s (%s)", c.Policy.Name, s.Disposition, shown(s.Cutoff), period(c.Policy, s))
			for _, line := range details(s, p.Details[c.Policy.Name][i]) {
				a.say("%s: %s: %s", c.Policy.Name, s.Disposition, line)
			}
		}
		for _, line := range restraints(c.Policy, p.Restraints[c.Policy.Name]) {
			a.say("%s: %s", c.Policy.Name, line)
		}
		if !c.Covered {
			a.say("%s: awaiting coverage, so nothing goes yet; the owner of %s runs: %s", c.Policy.Name, c.Table.Name, c.Publish)
		}
	}
	for _, w := range p.Warnings {
		a.say("warning: %s", w.Reason)
	}
	return nil
}

// period is the retention that a disposition counts.
func period(c policy.Category, s purge.States) policy.Period {
	if s.Disposition == plan.Redact {
		return c.Redact.After
	}
	return *c.Delete
}

// shown is a time for people.
func shown(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
