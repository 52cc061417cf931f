package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// lintRow is a category as a table shows it. JSON has all effective values.
type lintRow struct {
	Category string  `json:"category"`
	Table    string  `json:"table"`
	Start    *string `json:"start_from"`
	Restrict *string `json:"restrict_after"`
	Redact   *string `json:"redact_after"`
	Delete   *string `json:"delete_after"`
	Minimum  *string `json:"basis_minimum"`
	Posture  string  `json:"posture"`
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
Warnings go to stderr and do not fail, unless --strict makes them: windows that the
basis of a category speaks against, categories in each other's way, keys that this
version does not apply yet.
-o json prints the effective values of every key, defaults filled in, with the minimum
that the basis asks for and the posture of the window.
Exit codes: 0 valid, 2 not valid, or warnings with --strict.`,
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
		warnings := set.Warnings()
		if !offline {
			more, err := a.lint(cmd.Context(), cfg, set)
			if err != nil {
				a.warn(warnings)
				return err
			}
			warnings = append(warnings, more...)
		}
		a.warn(warnings)
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

// warn prints warnings with the place in the policy file that each is about, in
// the order of the files.
func (a *app) warn(warnings []*policy.Error) {
	slices.SortStableFunc(warnings, func(x, y *policy.Error) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	for _, w := range warnings {
		_, _ = io.WriteString(a.stderr, "warning: "+cleanLines(w.Error())+"\n")
	}
}

// lint checks the policies against the database, if one is named.
func (a *app) lint(ctx context.Context, cfg sweeper.Config, set policy.Set) ([]*policy.Error, error) {
	if cfg.DatabaseURL.IsZero() {
		a.say("no database is named, so the files alone were checked (SWEEPER_DATABASE_URL)")
		return nil, nil
	}
	return sweeper.Lint(ctx, cfg, set)
}

func (a *app) printPolicies(f format, set policy.Set) error {
	if f == formatJSON {
		return printRows(a.stdout, f, set.Categories)
	}
	rows := make([]lintRow, 0, len(set.Categories))
	for _, c := range set.Categories {
		r := lintRow{
			Category: c.Name, Table: c.Table, Posture: policy.Posture(c.Delete),
			Mode: c.Mode, Enabled: c.Enabled, File: c.At.File, Line: c.At.Line,
		}
		if c.Start.Column != "" {
			r.Start = &c.Start.Column
		}
		if c.Restrict != nil {
			r.Restrict = text(c.Restrict.After)
		}
		if c.Redact != nil {
			r.Redact = text(c.Redact.After)
		}
		if c.Delete != nil {
			r.Delete = text(*c.Delete)
		}
		if least := c.StatutoryMinimum(); least != nil {
			r.Minimum = text(*least)
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
