package main

import (
	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

func newApprove(a *app) *cobra.Command {
	var hash, who, reason string
	cmd := &cobra.Command{
		Use:   "approve CATEGORY --plan HASH --actor A --reason R",
		Short: "Let a run go on that waits for approval",
		Long: `Approves the plan of a category whose last sweep ended as awaiting_approval: for 7
days, and for up to 1.1 times the rows that were planned, by one run or by several.
The hash is what sweep and plan print.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.DisableFlagsInUseLine = true
	cmd.Flags().StringVar(&hash, "plan", "", "the plan_hash of the run")
	cmd.Flags().StringVar(&who, "actor", "", "who approves")
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	require(cmd, "plan", "actor", "reason")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, _, err := a.load("approve", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		return argument(sweeper.Approve(cmd.Context(), cfg, args[0], hash, &who, &reason, func(text string) { a.say("%s", text) }))
	}
	return cmd
}

// require makes flags ones that a command cannot do without.
func require(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was never made
		}
	}
}
