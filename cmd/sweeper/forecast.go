package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

// forecastRow is one month of one disposition of one category.
type forecastRow struct {
	Category    string `json:"category"`
	Relation    string `json:"relation"`
	Month       string `json:"month"` // 2026-03, in the policy's zone
	Disposition string `json:"disposition"`
	Rows        int64  `json:"rows"`
	Overdue     int64  `json:"overdue"`
	Held        int64  `json:"held"`
}

const (
	monthLayout = "2006-01"
	mostMonths  = 120
)

func newForecast(a *app) *cobra.Command {
	months, asOfText := 12, ""
	cmd := &cobra.Command{
		Use:   "forecast",
		Short: "Show how many rows fall due in the coming months",
		Long: `Counts the rows of each category by the month in which they fall due, computed by the
database as a sweep would. It changes nothing. The first month is the current one; rows
that are due already count there, and overdue tells how many they are. Rows under a legal
hold count too, and held tells how many they are today. Months are those of the policy's zone.`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if months < 1 || months > mostMonths {
				return usage(fmt.Errorf("--months takes 1 to %d", mostMonths))
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&months, "months", months, "how many months, the current one included")
	cmd.Flags().StringVar(&asOfText, "as-of", "", "the time to judge by, in SWEEPER_TIMEZONE unless it has a zone")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, set, err := a.prepare("forecast", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		var asOf time.Time
		if asOfText != "" {
			if asOf, err = instant(cfg, "as-of", asOfText, false); err != nil {
				return err
			}
		}
		found, err := sweeper.Forecast(cmd.Context(), cfg, set, asOf, months)
		if err != nil {
			return err
		}
		rows := make([]forecastRow, len(found))
		for i, f := range found {
			rows[i] = forecastRow{f.Category, f.Relation, f.Month.Format(monthLayout), f.Disposition, f.Rows, f.Overdue, f.Held}
		}
		return printRows(a.stdout, *output, rows)
	}
	return cmd
}
