package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// allVerbs makes the commands, one file each.
var allVerbs = []func(*app) *cobra.Command{
	newInstall, newUninstall, newLint, newPlan, newExplain, newForecast, newSweep, newRun, newApprove, newStatus, newHealth, newHold, newLog, newDemo, newVersion,
}

// app is what a verb works with in place of the process's globals.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // as os.Environ
	now            func() time.Time
	verbs          []func(*app) *cobra.Command
}

// run carries out one command line and returns the exit code. The error, if
// there is one, is printed here and nowhere else.
func (a *app) run(ctx context.Context, args []string) int {
	a.stdout = &pipe{w: a.stdout}
	began := false
	root := a.root()
	markBegin(root, &began)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !began {
		err = &exitError{exitSetup, fmt.Errorf("%w (see: %s --help)", err, cmd.CommandPath())}
	}
	err = withPrivilege(cmd, err)
	printError(ctx, a.stderr, err)
	return exitCode(err)
}

// root is the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sweeper",
		Short:         "Data retention for PostgreSQL, with proof",
		Long:          "sweeper deletes what the retention policies of a PostgreSQL database say is due,\nand proves from the write-ahead log what it did.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	for _, verb := range a.verbs {
		root.AddCommand(verb(a))
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		group(completion)
	}
	return group(root)
}

// flagError says in words what the value of a flag is to be, where the parser
// speaks of the functions that it calls.
func flagError(_ *cobra.Command, err error) error {
	var number *strconv.NumError
	if !errors.As(err, &number) {
		return err
	}
	want := "write a whole number"
	switch {
	case number.Func == "ParseBool":
		want = "write true or false"
	case errors.Is(number, strconv.ErrRange):
		want = "the number is too large"
	}
	return errors.New(strings.TrimSuffix(err.Error(), number.Error()) + want)
}

// group makes a command that only holds others refuse to run alone or with a
// verb that it does not have: cobra would print the help and call it success.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s needs a verb", cmd.CommandPath())
		}
		text := fmt.Sprintf("%s has no verb %q", cmd.CommandPath(), sweeper.Printable(args[0]))
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return fmt.Errorf("%s", text)
	}
	cmd.RunE = func(*cobra.Command, []string) error { return nil } // makes cobra check Args
	cmd.SuggestionsMinimumDistance = 2                             // letters
	cmd.DisableFlagsInUseLine = true
	return cmd
}

// markBegin has began set when a verb gets to work. All that fails before, in
// flags, arguments or names, is usage.
func markBegin(cmd *cobra.Command, began *bool) {
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*began = true
			return work(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		markBegin(sub, began)
	}
}

// load reads the environment for verb, which cannot do without needs. Warnings
// go to the log that it returns or, when there is an error, to stderr.
func (a *app) load(verb string, needs ...sweeper.Need) (sweeper.Config, *slog.Logger, error) {
	cfg, warnings, err := sweeper.Load(a.environ)
	if err != nil {
		for _, w := range warnings {
			a.say("warning: %s", w)
		}
		return sweeper.Config{}, nil, err
	}
	log := sweeper.NewLogger(a.stderr, cfg.LogLevel, cfg.LogFormat, isTerminal(a.stderr), a.noColor())
	for _, w := range warnings {
		log.Warn("configuration", sweeper.KeyWarning, w)
	}
	return cfg, log, cfg.Require(verb, needs...)
}

// prepare reads the environment for verb, and the policies that it names.
func (a *app) prepare(verb string, needs ...sweeper.Need) (sweeper.Config, *slog.Logger, policy.Set, error) {
	cfg, log, err := a.load(verb, needs...)
	if err != nil {
		return cfg, log, policy.Set{}, err
	}
	set, err := loadPolicies(cfg)
	return cfg, log, set, err
}

// loadPolicies reads paths, or without any what SWEEPER_POLICIES names.
func loadPolicies(cfg sweeper.Config, paths ...string) (policy.Set, error) {
	if len(paths) == 0 {
		paths = []string{cfg.Policies}
	}
	return policy.Load(cfg.PolicyDefaults(), paths...)
}

// say prints a line of words to stderr.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, "sweeper: %s\n", sweeper.Printable(fmt.Sprintf(format, args...)))
}

// noColor tells whether NO_COLOR or a dumb terminal forbids colours.
func (a *app) noColor() bool {
	for _, entry := range a.environ {
		name, value, _ := strings.Cut(entry, "=")
		if name == "NO_COLOR" && value != "" || name == "TERM" && value == "dumb" {
			return true
		}
	}
	return false
}

// isTerminal tells whether w (or a reader) is one.
func isTerminal(w any) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
