package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

// explainRow is how the row stands under one disposition of one category, with
// what the log says of it in each.
type explainRow struct {
	sweeper.Explained
	Log []sweeper.Logged `json:"log" table:"-"`
}

func newExplain(a *app) *cobra.Command {
	var asOf string
	cmd := &cobra.Command{
		Use:   "explain TABLE KEY",
		Short: "Tell why a row is kept, or when and why it goes",
		Long: `Tells for each category over TABLE how the row with KEY stands: the window and where it
comes from, its basis, the due date, everything that keeps the row, the sweep that will
take it, and what the purge log says happened to it. It prints no value of the row.
KEY is the text of the primary key; of several columns a JSON array of texts in key
order, as '["a","1"]'. The log is searched with SWEEPER_HMAC_KEY.`,
		Args: cobra.ExactArgs(2),
	}
	cmd.Flags().StringVar(&asOf, "as-of", "", "the time to judge by, in SWEEPER_TIMEZONE unless it has a zone")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		story, err := a.explain(cmd.Context(), args[0], args[1], asOf)
		if err != nil {
			return err
		}
		if err := printRows(a.stdout, *output, explainRows(args[0], story)); err != nil {
			return err
		}
		if *output == formatTable {
			a.tellStory(args[0], story)
		}
		return nil
	}
	return cmd
}

func (a *app) explain(ctx context.Context, table, key, asOf string) (*sweeper.RowStory, error) {
	cfg, _, set, err := a.prepare("explain", sweeper.NeedDatabase)
	if err != nil {
		return nil, err
	}
	var at time.Time
	if asOf != "" {
		if at, err = instant(cfg, "as-of", asOf, false); err != nil {
			return nil, err
		}
	}
	return sweeper.Explain(ctx, cfg, set, table, key, at)
}

// explainRows has one row for a table that has none with the key, so that a
// reader of JSON finds what the log says.
func explainRows(table string, story *sweeper.RowStory) []explainRow {
	if !story.Exists {
		return []explainRow{{sweeper.Explained{Relation: table, State: sweeper.RowAbsent, Reasons: []string{}}, story.Log}}
	}
	rows := make([]explainRow, len(story.Standing))
	for i, s := range story.Standing {
		rows[i] = explainRow{s, story.Log}
	}
	return rows
}

// tellStory adds to the table what has no place in it.
func (a *app) tellStory(table string, story *sweeper.RowStory) {
	if !story.Exists {
		a.say("%s has no row with this key", table)
	}
	for _, s := range story.Standing {
		name := strings.TrimSpace(s.Category + " " + s.Disposition)
		for _, reason := range s.Reasons {
			a.say("%s: %s", name, reason)
		}
		if s.GoesAt != nil {
			a.say("%s: goes with the sweep of %s, if nothing changes", name, shown(*s.GoesAt))
		}
	}
	for _, l := range story.Log {
		a.say("the purge log has it in entry %d: %s %s on %s", l.Seq, l.Kind, orNone(l.Reason), shownOrNone(l.CommittedAt))
	}
	switch {
	case !story.Searched:
		a.say("the purge log was not searched: SWEEPER_HMAC_KEY is not set")
	case len(story.Log) == 0:
		a.say("the purge log has no entry about it")
	}
	if !story.Exists && len(story.Detached) > 0 {
		a.say("it may be in a partition that was detached with its rows and is no longer swept: %s", strings.Join(story.Detached, ", "))
	}
	if !story.Exists && story.Whole > 0 {
		a.say("%d partitions went whole or were truncated without a list of their rows: whether it was in one the log cannot tell", story.Whole)
	}
}

func orNone(text *string) string {
	if text == nil {
		return null
	}
	return *text
}

func shownOrNone(t *time.Time) string {
	if t == nil {
		return null
	}
	return shown(*t)
}
