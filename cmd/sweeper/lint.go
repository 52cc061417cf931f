package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// lintRow is a category as a table shows it. JSON has all effective values.
type lintRow struct {
	Category string  `json:"category"`
	Table    string  `json:"table"`
	Start    *string `json:"start_from"`
	Redact   *string `json:"redact_after"`
	Delete   *string `json:"delete_after"`
	Mode     string  `json:"mode"`
	Enabled  bool    `json:"enabled"`
	File     string  `json:"file"`
	Line     int     `json:"line"`
}

func newLint(a *app) *cobra.Command {
	var offline, strict bool
	cmd := &cobra.Command{
		Use:   "lint [FILE…]",
		Short: "Check policies, and whether they fit the database",
		Long: `Checks policy files or directories, those of SWEEPER_POLICIES unless some are named,
and then whether they fit the catalogue of SWEEPER_DATABASE_URL. All errors come at once.
Without a database, or with --offline, the files alone are checked.
-o json prints the effective values, defaults filled in.`,
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "check the files alone")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail on warnings too")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		cfg, _, err := a.load("lint")
		if err != nil {
			return err
		}
		set, err := loadPolicies(cfg, paths...)
		if err != nil {
			return err
		}
		var warnings []*policy.Error
		if !offline {
			if warnings, err = a.lint(cmd.Context(), cfg, set); err != nil {
				return err
			}
		}
		if err := a.printPolicies(*output, set); err != nil {
			return err
		}
		if strict && len(warnings) > 0 {
			return usage(fmt.Errorf("%d warnings, which --strict does not let pass", len(warnings)))
		}
		return nil
	}
	return cmd
}

// lint checks the policies against the database, if one is named, and prints
// the warnings with the place in the policy file that each is about.
func (a *app) lint(ctx context.Context, cfg sweeper.Config, set policy.Set) ([]*policy.Error, error) {
	if cfg.DatabaseURL.IsZero() {
		a.say("no database is named, so the files alone were checked (SWEEPER_DATABASE_URL)")
		return nil, nil
	}
	warnings, err := sweeper.Lint(ctx, cfg, set)
	for _, w := range warnings {
		_, _ = io.WriteString(a.stderr, "warning: "+cleanLines(w.Error())+"\n")
	}
	return warnings, err
}

func (a *app) printPolicies(f format, set policy.Set) error {
	if f == formatJSON {
		return printRows(a.stdout, f, set.Categories)
	}
	rows := make([]lintRow, 0, len(set.Categories))
	for _, c := range set.Categories {
		r := lintRow{Category: c.Name, Table: c.Table, Mode: c.Mode, Enabled: c.Enabled, File: c.At.File, Line: c.At.Line}
		if c.Start.Column != "" {
			r.Start = &c.Start.Column
		}
		if c.Redact != nil {
			r.Redact = text(c.Redact.After)
		}
		if c.Delete != nil {
			r.Delete = text(*c.Delete)
		}
		rows = append(rows, r)
	}
	return printRows(a.stdout, f, rows)
}

// text is a value in words, for a field that can be NULL.
func text(v fmt.Stringer) *string {
	s := v.String()
	return &s
}
