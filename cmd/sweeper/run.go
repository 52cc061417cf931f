package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

func newRun(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Sweep by schedule and keep the purge log, as a daemon",
		Long: `Sweeps each category by its schedule, keeps the purge log, and watches both. Several
processes over one database share the categories; one of them reads the slot, and
another takes over when it dies, freezes or loses its network.
SIGTERM ends it after the batch in flight, which has SWEEPER_SHUTDOWN_GRACE; a second
signal at once. SIGHUP, or a change of the files, has it read the policies again.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := a.load("run", sweeper.NeedDatabase, sweeper.NeedHMACKey)
		if err != nil {
			return err
		}
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		reload := make(chan struct{})
		go func() {
			for {
				select {
				case <-cmd.Context().Done():
					return
				case <-hangups:
				}
				select {
				case <-cmd.Context().Done():
					return
				case reload <- struct{}{}:
				}
			}
		}()
		return sweeper.Run(cmd.Context(), cfg, log, sweeper.RunOptions{Now: a.now, Reload: reload})
	}
	return cmd
}
