package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

func newStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the categories and the purge log stand",
		Long: `Shows each category with its last and next sweep and what was due then, and says how
the purge log and its slot stand. The exit code is 3 when the log is not healthy:
then nothing may be purged.`,
		Args: cobra.NoArgs,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("status", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		categories, log, err := sweeper.Status(cmd.Context(), cfg, a.now())
		if err != nil {
			return err
		}
		if err := printRows(a.stdout, *output, categories); err != nil {
			return err
		}
		if *output == formatTable {
			a.tellLog(cfg, log)
		}
		daemon, paused := a.askDaemon(cmd.Context(), cfg, log)
		if *output == formatTable {
			a.say("daemon: %s", daemon)
		}
		if paused && len(log.Unhealthy) == 0 {
			return &exitError{exitIntegrity, errors.New("the daemon has paused purging: " + daemon)}
		}
		if len(log.Unhealthy) > 0 {
			return &exitError{exitIntegrity, errors.New("the purge log is not healthy: " + strings.Join(log.Unhealthy, "; "))}
		}
		return nil
	}
	return cmd
}

// askDaemon asks the daemon on this machine, if there is one for this log, how
// it is: whether the log moves takes more than one look.
func (a *app) askDaemon(ctx context.Context, cfg sweeper.Config, l sweeper.LogStatus) (text string, paused bool) {
	if cfg.HTTPAddr == sweeper.HTTPOff {
		return "not asked, SWEEPER_HTTP_ADDR is off", false
	}
	h, err := probe(ctx, cfg.HTTPAddr)
	switch {
	case err != nil || h.source != l.Source:
		return "none for this log answers on this machine at " + cfg.HTTPAddr, false
	}
	var failed []string
	for line := range strings.Lines(h.checks) {
		if reason, found := strings.CutPrefix(line, "[-]"); found {
			failed = append(failed, strings.TrimSpace(reason))
		}
	}
	text = strings.Join(failed, "; ")
	switch {
	case !h.ready:
		return text, true
	case text != "":
		return "purging may go on, and not all is well: " + text, false
	}
	return "healthy", false
}

// tellLog says how the purge log stands.
func (a *app) tellLog(cfg sweeper.Config, l sweeper.LogStatus) {
	reader := "read by nobody now"
	if l.Slot.Active {
		reader = fmt.Sprintf("read by pid %d", l.Slot.ActivePID)
	}
	switch {
	case l.Entries == 0:
		a.say("log: has not begun; it begins with the first sweep")
	case l.UpdatedAt != nil:
		a.say("log: %d entries, complete up to %s, %s behind, moved last at %s", l.Entries, l.Applied, bytesText(l.LagBytes), shown(*l.UpdatedAt))
	default:
		a.say("log: %d entries, none of them from slot %s", l.Entries, cfg.Slot)
	}
	if l.Mismatches+l.Gaps > 0 {
		a.say("log: %d mismatch and %d gap entries, the last at %s", l.Mismatches, l.Gaps, shown(*l.LastAlarm))
	} else if l.Entries > 0 {
		a.say("log: 0 mismatch and 0 gap entries")
	}
	if l.Slot.Exists {
		a.say("slot: %s holds %s of WAL, %s", cfg.Slot, bytesText(l.Slot.RetainedBytes), reader)
	}
	if c := l.Checkpoint; c != nil {
		by, at := "not signed, as SWEEPER_SIGNING_KEY is not set", "in the database alone, as SWEEPER_ANCHOR_URL is not set"
		if len(c.SignedBy) > 0 {
			by = "signed by " + strings.Join(c.SignedBy, " and ")
		}
		if len(c.Anchors) > 0 {
			at = "kept at " + strings.Join(c.Anchors, " and ")
		} else if len(cfg.AnchorURL) > 0 {
			at = "at no anchor yet"
		}
		a.say("checkpoint: %d entries at %s, %s, %s", c.Size, shown(c.MadeAt), by, at)
	}
	a.say("holds: %d in force", l.Holds)
}

// bytesText is a size for people.
func bytesText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
