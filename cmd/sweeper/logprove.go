package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

func newLogExport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export DIR",
		Short: "Write the whole purge log into a folder that verifies without a database",
		Long: `Writes the whole purge log, with row commitments and checkpoints, into DIR, which must
be new or empty: in binary form, which log verify --offline reads, and as entries.csv
and entries.json to read. It copies the log as it stands, whole or not.`,
		Args: cobra.ExactArgs(1),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, _, err := a.load("log export", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		display := a.progress("entries")
		out, err := sweeper.ExportLog(cmd.Context(), cfg, args[0], func(done, total int64) { display.Update(done, total, "export") })
		display.Done()
		if err != nil {
			return err
		}
		return printRows(a.stdout, *output, []purgelog.Exported{out})
	}
	return cmd
}

func newLogProve(a *app) *cobra.Command {
	var table, key, since, older string
	cmd := &cobra.Command{
		Use:   "prove",
		Short: "Prove that a row was purged, or that the log continues an older checkpoint",
		Long: `Prints a document that proves without a database that the row was purged: the entries,
that the row is in them, and that they are in the tree of the latest checkpoint. Only
the nonce of this one row is revealed, never SWEEPER_HMAC_KEY. It also looks whether the
row is in its table now. KEY is the text of the key; of several columns a JSON array of
texts in key order, as '["a","1"]'.

With --since-checkpoint the document proves that the log of today continues the one
that the older checkpoint spoke of.

Who gets the document runs: sweeper log verify --offline FILE --key PUBLIC-KEY

Exit codes: 0 proved, and the row is not there, or there and redacted; 1 the log has no
purge of it, or the row is there again; 3 the log is broken; 6 that cannot be decided.`,
		Example: `  sweeper log prove --table app.events --key 4711 --since 2026-01-01 > proof.json
  sweeper log prove --since-checkpoint kept-in-march.note > continues.json`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&table, "table", "", "the table, schema.table")
	flags.StringVar(&key, "key", "", "the row's key")
	flags.StringVar(&since, "since", "", "the oldest commit to look at, in SWEEPER_TIMEZONE unless it has a zone")
	flags.StringVar(&older, "since-checkpoint", "", "file with the note of an older checkpoint that the log must continue")
	cmd.MarkFlagsRequiredTogether("table", "key")
	cmd.MarkFlagsOneRequired("table", "since-checkpoint")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		needs := []sweeper.Need{sweeper.NeedDatabase}
		if table != "" {
			needs = append(needs, sweeper.NeedHMACKey)
		}
		cfg, _, err := a.load("log prove", needs...)
		if err != nil {
			return err
		}
		w := sweeper.Proving{Table: table, Key: key}
		if since != "" {
			if w.Since, err = instant(cfg, "since", since, false); err != nil {
				return err
			}
		}
		if _, w.Older, err = readCheckpoint(older, nil); err != nil {
			return err
		}
		return a.prove(cmd, cfg, w)
	}
	return cmd
}

func (a *app) prove(cmd *cobra.Command, cfg sweeper.Config, w sweeper.Proving) error {
	display := a.progress("entries")
	w.Progress = func(done, total int64) { display.Update(done, total, "prove") }
	p, err := sweeper.Prove(cmd.Context(), cfg, w)
	display.Done()
	switch {
	case errors.Is(err, purgelog.ErrBroken):
		return &exitError{exitIntegrity, err}
	case errors.Is(err, proof.ErrPruned):
		return &exitError{exitUnreachable, fmt.Errorf("cannot decide: %w", err)}
	case err != nil:
		return err
	case p.Document == nil && w.Since.IsZero():
		return fmt.Errorf("the purge log has no purge of this row of %s", w.Table)
	case p.Document == nil:
		return fmt.Errorf("the purge log has no purge of this row of %s since %s", w.Table, w.Since.UTC().Format(time.RFC3339))
	}
	text, err := p.Document.Marshal()
	if err != nil {
		return err
	}
	if _, err := a.stdout.Write(text); err != nil {
		return err
	}
	return a.tellProof(p)
}

// tellProof says in words what the document proves.
func (a *app) tellProof(p *sweeper.Proof) error {
	proved, err := p.Document.Verify()
	if err != nil {
		return &exitError{exitIntegrity, err}
	}
	for _, e := range proved.Entries {
		a.say("entry %d: %s, committed %s", e.Seq, e.Kind, e.CommittedAt.UTC().Format(time.RFC3339))
	}
	if proved.Older != nil {
		a.say("the log of %d entries continues the one of %d", proved.Checkpoint.Size, proved.Older.Size)
	}
	if proved.Checkpoint.Text() == p.Document.Checkpoint {
		a.say("warning: no signed checkpoint covers this; the document holds the log's head, which nobody has signed")
	}
	if p.Document.Row == nil {
		return nil
	}
	switch p.Document.Row.State {
	case sweeper.ProvedAbsent:
		a.say("proved: the row was purged, and is not in %s now", p.Document.Row.Relation)
	case sweeper.ProvedRedacted:
		a.say("proved: the row was redacted; it is in %s, with its key", p.Document.Row.Relation)
	case sweeper.ProvedPresent:
		return fmt.Errorf("proved: the row was purged; but %s has a row with this key again", p.Document.Row.Relation)
	default:
		a.say("warning: proved: the row was purged; whether it is in %s now cannot be told: the table is gone, or this login may not read its key", p.Document.Row.Relation)
	}
	return nil
}

// findRow is an entry about a data subject.
type findRow struct {
	Seq         int64      `json:"seq"`
	CommittedAt *time.Time `json:"committed_at"`
	Kind        string     `json:"kind"`
	Reason      *string    `json:"reason"`
	Category    *string    `json:"category"`
	Relation    *string    `json:"relation"`
	RowCount    *int64     `json:"row_count"`
	RequestID   *string    `json:"request_id"`
	FoundBy     string     `json:"found_by"`
}

func newLogFind(a *app) *cobra.Command {
	var subject, tenant string
	cmd := &cobra.Command{
		Use:   "find",
		Short: "Find the entries of a data subject in the purge log",
		Long: `Finds the entries that have the subject's digest, with SWEEPER_HMAC_KEY and while rotating
with both keys; and those with a row of a governed table whose key is the subject
itself. Rows of tables that only name the subject in another column cannot be found by
it: the log keeps no more of a row than a commitment to its key. Digests that were made
with a tenant are found with --tenant alone.

Exit codes: 0 found, 1 nothing found, 2 SWEEPER_HMAC_KEY is not the log's key.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&subject, "subject", "", "the data subject, as the subject column has it")
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant")
	require(cmd, "subject")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("log find", sweeper.NeedDatabase, sweeper.NeedHMACKey)
		if err != nil {
			return err
		}
		found, err := sweeper.Find(cmd.Context(), cfg, subject, tenant)
		if err != nil {
			return err
		}
		rows := make([]findRow, len(found.Entries))
		for i, f := range found.Entries {
			e := f.Entry
			rows[i] = findRow{e.Seq, e.CommittedAt, e.Kind, e.Reason, e.Category, e.Relation, e.RowCount, uuidText(e.RequestID), f.By}
		}
		for _, name := range found.Unlooked {
			a.say("note: the key of %s is not its subject, so that its rows were not searched for", name)
		}
		if err := printRows(a.stdout, *output, rows); err != nil || len(rows) > 0 {
			return err
		}
		return errors.New("the purge log has no entry about this subject")
	}
	return cmd
}
