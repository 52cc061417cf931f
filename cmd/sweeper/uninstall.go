package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

func newUninstall(a *app) *cobra.Command {
	var keepLog, yes bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove slot and publications, then the rest",
		Long: `Removes the slot and the publications, then schema sweeper with the purge log in it,
and the roles unless another database of the server still uses them. The tables of
the application stay as they are. It connects to SWEEPER_INSTALL_URL.

It asks first. Where stdin is no terminal it does not ask, and needs --yes instead:
the purge log cannot be had back.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&keepLog, "keep-log", false, "leave schema sweeper with the purge log, and the roles that own and read it")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask; scripts need it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("uninstall", sweeper.NeedInstall)
		if err != nil {
			return err
		}
		if !yes {
			if err := a.confirm(question(cfg, keepLog), isTerminal(a.stdin)); err != nil {
				return err
			}
		}
		removed, err := sweeper.Uninstall(cmd.Context(), cfg, keepLog)
		for _, what := range removed {
			a.say("removed: %s", what)
		}
		if err == nil && len(removed) == 0 {
			a.say("nothing to do in %s", cfg.InstallURL)
		}
		return err
	}
	return cmd
}

// question says what is about to go.
func question(cfg sweeper.Config, keepLog bool) string {
	what := "slot, publications, roles and schema sweeper with its purge log"
	if keepLog {
		what = "slot and publications"
	}
	return fmt.Sprintf("remove %s from %s", what, cfg.InstallURL)
}

// confirm asks whoever sits at the terminal, and takes nothing but yes for a
// yes. Without a terminal nobody is asked.
func (a *app) confirm(question string, terminal bool) error {
	if !terminal {
		return usage(fmt.Errorf("to %s, add --yes: stdin is no terminal to ask at", question))
	}
	_, _ = fmt.Fprintf(a.stderr, "%s? Type yes: ", sweeper.Printable(question))
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.ToLower(strings.TrimSpace(line)) != "yes" {
		return errors.New("not confirmed, nothing was removed")
	}
	return nil
}
