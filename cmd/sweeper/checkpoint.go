package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func newLogCheckpoint(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "checkpoint",
		Short: "Sign what the purge log is now, and anchor it",
		Long: `Makes a checkpoint of the purge log, keeps it in sweeper.checkpoints and at every anchor
of SWEEPER_ANCHOR_URL, and prints it: the log's origin, its number of entries, the root of
the tree over them, and the signature. A daemon and sweep make checkpoints by themselves;
this verb works beside them. Nothing is signed that does not continue what each anchor
holds. Exit codes: 0 done, 2 the key came after the last checkpoint and the log has not
grown since (the next sweep has it take the key), 3 the log does not continue what is
anchored, 6 an anchor cannot be reached.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := a.load("log checkpoint", sweeper.NeedReplication)
			if err != nil {
				return err
			}
			note, unanchored, err := sweeper.Checkpoint(cmd.Context(), cfg, log, a.now)
			if err != nil {
				return err
			}
			if cfg.SigningKey.IsZero() {
				a.say("warning: the checkpoint is not signed; set SWEEPER_SIGNING_KEY (see: sweeper log keygen --help)")
			}
			if len(cfg.AnchorURL) == 0 {
				a.say("warning: the checkpoint is kept in the database alone; set SWEEPER_ANCHOR_URL, or keep what is printed elsewhere")
			}
			if _, err := fmt.Fprint(a.stdout, note); err != nil {
				return err
			}
			if unanchored != nil {
				return &exitError{exitUnreachable, fmt.Errorf("the checkpoint is not at every anchor yet: %w", unanchored)}
			}
			return nil
		},
	}
}

func newLogKeygen(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a key that signs checkpoints",
		Long: `Makes an Ed25519 key pair. The private key goes to stdout: keep it in a file that
SWEEPER_SIGNING_KEY_FILE names, where nobody can read it who may write to the database or
the anchors. The public key goes to stderr: give it to whoever verifies the log. NAME says
whose key it is, and stands in each checkpoint: your domain, without spaces or commas.`,
		Example: "  (umask 077; sweeper log keygen acme.example/purge-log > signing.key)",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			private, public, err := proof.GenerateKey(args[0])
			if err != nil {
				return usage(err)
			}
			if _, err := fmt.Fprintln(a.stdout, private); err != nil {
				return err
			}
			a.say("public key, for log verify --key: %s", public)
			return nil
		},
	}
}

func newLogFork(a *app) *cobra.Command {
	var o sweeper.ForkOptions
	cmd := &cobra.Command{
		Use:   "fork",
		Short: "Let the purge log go on after a restore, or on another server",
		Long: `Lets the purge log go on when it cannot continue what is anchored: after a restore from a
backup, on a server with another system identifier (pg_upgrade), with another slot, or
when the signing key is lost or stolen, or SWEEPER_HMAC_KEY is lost. It appends an entry
of kind fork, which names who and why, the log as it was, and the newest checkpoint that
each anchor holds; what nobody witnessed becomes a gap. From there on the log has a new origin, with a checkpoint of its
own. Stop the daemon first, run install if the slot is not there, and hold the log against
its checkpoints (log verify) before: a fork says for ever that something happened.
It is refused when nothing is the matter. Exit codes: 0 done, 2 there is nothing to fork,
6 an anchor cannot be reached.`,
		Example: `  sweeper log fork --actor ops@example.com --reason "restored from the backup of 2026-11-20"`,
		Args:    cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Actor, "actor", "", "who forks it")
	flags.StringVar(&o.Reason, "reason", "", "why")
	flags.BoolVar(&o.Force, "force", false, "also when nothing is the matter")
	require(cmd, "actor", "reason")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := a.load("log fork", sweeper.NeedReplication, sweeper.NeedHMACKey)
		if err != nil {
			return err
		}
		o.Now = a.now
		o.Warn = func(warning string) { a.say("warning: %s", warning) }
		done, err := sweeper.Fork(cmd.Context(), cfg, log, o)
		if err != nil {
			return err
		}
		for _, why := range done.Why {
			a.say("because: %s", why)
		}
		if done.Former != "" {
			a.say("the purge log was %s", done.Former)
		}
		_, err = fmt.Fprint(a.stdout, done.Note)
		return err
	}
	return cmd
}

// auditCheckpoints holds the log against its checkpoints, says what is worth a
// warning, and makes one error of what is wrong.
func (a *app) auditCheckpoints(cmd *cobra.Command, key string) (sweeper.CheckpointAudit, error) {
	cfg, log, err := a.load("log verify", sweeper.NeedDatabase)
	if err != nil {
		return sweeper.CheckpointAudit{}, err
	}
	found, err := sweeper.AuditCheckpoints(cmd.Context(), cfg, log, key, a.now)
	for _, warning := range found.Warnings {
		a.say("warning: %s", warning)
	}
	errs := []error{}
	for _, p := range found.Problems {
		errs = append(errs, &exitError{exitIntegrity, errors.New(p.Text)})
	}
	if err != nil {
		errs = append(errs, undecided(err))
	}
	return found, errors.Join(errs...)
}
