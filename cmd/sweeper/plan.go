package main

import (
	"context"
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
	Partitions  int64   `json:"partitions"` // that would go whole, if the rows in them allow it
	Children    int64   `json:"children"`
	Batches     int64   `json:"batches"` // estimated
	Walk        *string `json:"walk"`    // NULL: no step, nothing can be due
	Coverage    string  `json:"coverage"`
	PlanHash    string  `json:"plan_hash"`
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
plan_hash is what an approval is bound to.`,
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
			a.tellPlan(preview)
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
		for _, s := range p.States[c.Policy.Name] {
			r := planRow{
				Category: c.Policy.Name, Relation: c.Table.Text, Disposition: s.Disposition,
				Due: s.Due, Held: s.Held, Blocked: s.Blocked, NotStarted: s.NotStarted, Future: s.Future, Scheduled: s.Scheduled,
				Batches: (s.Due + int64(cfg.BatchRows) - 1) / int64(cfg.BatchRows), Coverage: coverage(c), PlanHash: c.Hash,
			}
			r.Partitions, r.Walk = ways(c, s.Disposition)
			rows = append(rows, r)
		}
	}
	return rows
}

// ways tells how the rows of a disposition go: the partitions that go whole,
// and the walks of its steps, each once, in the order of the alphabet.
func ways(c *plan.Category, disposition string) (partitions int64, walk *string) {
	var walks []string
	for _, s := range c.Steps {
		whole := s.Kind == plan.DropPartition
		if s.Kind != disposition && (!whole || disposition != plan.Delete) {
			continue
		}
		if whole {
			partitions++
		}
		if !slices.Contains(walks, s.Walk) {
			walks = append(walks, s.Walk)
		}
	}
	if len(walks) == 0 {
		return partitions, nil
	}
	slices.Sort(walks)
	all := strings.Join(walks, ", ")
	return partitions, &all
}

func coverage(c *plan.Category) string {
	if c.Covered {
		return "covered"
	}
	return "awaiting"
}

// tellPlan adds to the table what people ask next.
func (a *app) tellPlan(p *sweeper.Preview) {
	a.say("as of %s", shown(p.Plan.AsOf))
	for _, c := range p.Plan.Categories() {
		for _, s := range p.States[c.Policy.Name] {
			a.say("%s: %s takes what started up to %s (%s)", c.Policy.Name, s.Disposition, shown(s.Cutoff), period(c.Policy, s))
		}
		if !c.Covered {
			a.say("%s: awaiting coverage, so nothing goes yet; the owner of %s runs: %s", c.Policy.Name, c.Table.Name, c.Publish)
		}
	}
	for _, w := range p.Warnings {
		a.say("warning: %s", w.Reason)
	}
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
