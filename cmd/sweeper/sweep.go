package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// sweepRow is what became of one category. The reason why it stopped is in the
// words below the table.
type sweepRow struct {
	RunID             string    `json:"run_id"`
	Category          string    `json:"category"`
	State             string    `json:"state"`
	AsOf              time.Time `json:"as_of"`
	Deleted           int64     `json:"deleted"`
	Redacted          int64     `json:"redacted"`
	PartitionsDropped int64     `json:"partitions_dropped"`
	Children          int64     `json:"children"`
	Held              int64     `json:"held"`
	Blocked           int64     `json:"blocked"`
	NotStarted        int64     `json:"not_started"`
	Remaining         int64     `json:"remaining"`
	StopReason        *string   `json:"stop_reason" table:"-"`
}

func newSweep(a *app) *cobra.Command {
	var category, hash string
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Purge once what is due",
		Long: `Purges what is due, and returns when the purge log holds the last of it. It reads
the slot itself unless another process does.
--plan asserts that the plan of the category is still the one that was looked at; a
run over its limits goes on only when it is approved, or with SWEEPER_APPROVE=auto.
Exit codes: 0 all done, 1 failed or due rows remain, 3 the purge log says that a run
did something else than it reported, 4 the plan has changed or waits for approval.`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if hash != "" && category == "" {
				return errors.New("--plan needs --category: a plan hash is that of one category")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&category, "category", "", "this category alone")
	cmd.Flags().StringVar(&hash, "plan", "", "the plan_hash that the category must still have")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, set, err := a.prepare("sweep", sweeper.NeedDatabase, sweeper.NeedHMACKey)
		if err != nil {
			return err
		}
		outcomes, err := a.sweep(cmd.Context(), cfg, log, set, sweeper.SweepOptions{Category: category, PlanHash: hash})
		if outcomes == nil && err != nil {
			return err
		}
		return errors.Join(err, printRows(a.stdout, *output, sweepRows(outcomes)), judge(outcomes))
	}
	return cmd
}

// sweep sweeps with a progress display.
func (a *app) sweep(ctx context.Context, cfg sweeper.Config, log *slog.Logger, set policy.Set, o sweeper.SweepOptions) ([]purge.Outcome, error) {
	display := a.progress("rows")
	defer display.Done()
	o.Actor, o.Source, o.Now = actor(), cfg.Policies, a.now
	o.Warn = func(warning string) { a.say("warning: %s", warning) }
	o.Progress = func(p purge.Progress) { display.Update(p.Done, p.Total, swept(p)) }
	return sweeper.Sweep(ctx, cfg, log, set, o)
}

// swept names what the rows of a progress are counted over: a category, or the
// sweep of several, and which of them has gone on.
func swept(p purge.Progress) string {
	if p.Of > 1 {
		return fmt.Sprintf("sweep of %d categories, now %s", p.Of, p.Category)
	}
	return p.Category
}

// actor is whom the purge log names: the user of the operating system.
func actor() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "cli"
}

func sweepRows(outcomes []purge.Outcome) []sweepRow {
	rows := make([]sweepRow, 0, len(outcomes))
	for _, o := range outcomes {
		r := sweepRow{
			RunID: o.RunID.String(), Category: o.Category, State: o.State, AsOf: o.AsOf,
			Deleted: o.Deleted, Redacted: o.Redacted, PartitionsDropped: o.PartitionsDropped, Children: o.Children,
			Held: o.Held, Blocked: o.Blocked, NotStarted: o.NotStarted, Remaining: o.Remaining,
		}
		if o.StopReason != "" {
			r.StopReason = &o.StopReason
		}
		rows = append(rows, r)
	}
	return rows
}

// judge makes one error of all categories that are not done; nil: all are.
func judge(outcomes []purge.Outcome) error {
	var errs []error
	for _, o := range outcomes {
		code := exitDone
		switch o.State {
		case purge.Succeeded, purge.Observed:
			continue
		case purge.AwaitingApproval:
			code = exitApproval
		case purge.Failed:
			if code = exitFailed; o.Err != nil {
				code = exitCode(o.Err)
			}
		default:
			code = exitFailed
		}
		errs = append(errs, &exitError{code, fmt.Errorf("%s: %s: %s", o.Category, o.State, o.StopReason)})
	}
	return errors.Join(errs...)
}
