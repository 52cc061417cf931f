package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

func newHold(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Apply, list and release legal holds",
		Long: `A legal hold suspends redaction and deletion of what it names. When apply has
returned, nothing under the hold is purged any more, a batch in flight included.`,
	}
	cmd.AddCommand(newHoldApply(a), newHoldList(a), newHoldRelease(a))
	return group(cmd)
}

func newHoldApply(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Apply a legal hold and print its id",
		Long: `Applies a legal hold and prints its id. At least one of --subject, --tenant,
--category and --relation says what is held; several narrow it down.`,
		Example: `  sweeper hold apply --subject 4711 --reason "case 12/2026" --actor legal@example.com`,
		Args:    cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.String("subject", "", "the data subject, as the subject column has it")
	flags.String("tenant", "", "the tenant")
	flags.String("category", "", "the category")
	flags.String("relation", "", "the table, schema.table")
	flags.String("reason", "", "why")
	flags.String("reference", "", "the case or file that it belongs to")
	flags.String("actor", "", "who applies it")
	flags.String("expires-at", "", "when it ends by itself, in SWEEPER_TIMEZONE unless it has a zone; a date means its end")
	require(cmd, "reason", "actor")
	cmd.MarkFlagsOneRequired("subject", "tenant", "category", "relation")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("hold apply", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		h, err := holdOf(cmd, cfg)
		if err != nil {
			return err
		}
		id, err := sweeper.ApplyHold(cmd.Context(), cfg, h, func(warning string) { a.say("warning: %s", warning) })
		if err != nil {
			return argument(err)
		}
		_, err = fmt.Fprintln(a.stdout, id)
		return err
	}
	return cmd
}

// holdOf reads a hold from the flags.
func holdOf(cmd *cobra.Command, cfg sweeper.Config) (sweeper.Hold, error) {
	h := sweeper.Hold{
		Subject: given(cmd, "subject"), Tenant: given(cmd, "tenant"), Category: given(cmd, "category"), Relation: given(cmd, "relation"),
		Reason: given(cmd, "reason"), Reference: given(cmd, "reference"), Actor: given(cmd, "actor"),
	}
	until := given(cmd, "expires-at")
	if until == nil {
		return h, nil
	}
	t, err := instant(cfg, "expires-at", *until, true)
	h.ExpiresAt = &t
	return h, err
}

// given is a flag's value, or nil when the command line does not have it.
func given(cmd *cobra.Command, flag string) *string {
	if f := cmd.Flags().Lookup(flag); f.Changed {
		value := f.Value.String()
		return &value
	}
	return nil
}

func newHoldList(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the legal holds in force",
		Long:  "Lists the legal holds in force, with the subjects that they name.",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&all, "all", false, "released and expired ones too")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("hold list", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		holds, err := sweeper.Holds(cmd.Context(), cfg, all)
		if err != nil {
			return err
		}
		return printRows(a.stdout, *output, holds)
	}
	return cmd
}

func newHoldRelease(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release ID",
		Short: "Release a legal hold",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return err
			}
			_, err := holdID(args[0])
			return err
		},
	}
	cmd.Flags().String("reason", "", "why")
	cmd.Flags().String("actor", "", "who releases it")
	require(cmd, "reason", "actor")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, _, err := a.load("hold release", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		id, err := holdID(args[0])
		if err != nil {
			return usage(err)
		}
		if err := sweeper.ReleaseHold(cmd.Context(), cfg, id, given(cmd, "reason"), given(cmd, "actor")); err != nil {
			return argument(err)
		}
		a.say("released: hold %d", id)
		return nil
	}
	return cmd
}

func holdID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("%q is not the id of a hold; see: sweeper hold list", text)
	}
	return id, nil
}
