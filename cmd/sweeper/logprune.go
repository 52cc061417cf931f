package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

func newLogPrune(a *app) *cobra.Command {
	var r sweeper.PruneRequest
	var before string
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Prune months of the purge log that are older than its retention",
		Long: `Verifies the months of the purge log that are older than SWEEPER_LOG_RETENTION, at least
seven years, and prunes them from its beginning: whole months (UTC), with an entry that
tells of it. What stays verifies and proves as before. What does not verify is not
pruned. Legal holds are over the data of the policies and not over the log.

sweeper run does the same by itself, once a day. While it writes the log this verb
waits 15 s for its place and then gives up.

Exit codes: 0 pruned, or nothing is old enough; 3 the log does not verify, or does not
continue what is anchored; 6 an anchor cannot be reached.`,
		Example: `  sweeper log prune --before 2019-01-01 --actor dpo@example.com --reason "ticket 4711"`,
		Args:    cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&before, "before", "", "months from here on stay, in SWEEPER_TIMEZONE unless it has a zone")
	flags.StringVar(&r.Actor, "actor", "", "who prunes")
	flags.StringVar(&r.Reason, "reason", "", "why")
	require(cmd, "actor", "reason")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := a.load("log prune", sweeper.NeedDatabase, sweeper.NeedReplication)
		if err != nil {
			return err
		}
		if before != "" {
			var at time.Time
			if at, err = instant(cfg, "before", before, false); err != nil {
				return err
			}
			r.Before = &at
		}
		if len(r.Actor) > mostWords || len(r.Reason) > mostWords {
			return usage(errors.New("--actor and --reason have at most 1024 bytes each"))
		}
		display := a.progress("entries")
		r.Progress = func(done, total int64) { display.Update(done, total, "verify") }
		r.Now = a.now
		r.Waiting = func() {
			a.say("another process writes the purge log; waiting for its place")
		}
		pruned, err := sweeper.PruneLog(cmd.Context(), cfg, log, r)
		display.Done()
		if errors.Is(err, purgelog.ErrUnsound) {
			return &exitError{exitIntegrity, err}
		}
		if err != nil {
			return err
		}
		if pruned.Entries == 0 {
			a.say("nothing of the purge log is older than %s", cfg.LogRetention)
			return printRows(a.stdout, *output, []sweeper.Pruned{})
		}
		return printRows(a.stdout, *output, []sweeper.Pruned{pruned})
	}
	return cmd
}

// mostWords is the most that actor and reason may have.
const mostWords = 1024
