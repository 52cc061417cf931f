package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// entryRow is one entry with the columns of sweeper.purge_log, bytes in hex.
type entryRow struct {
	Seq            int64      `json:"seq"`
	LoggedAt       time.Time  `json:"logged_at"`
	CommittedAt    *time.Time `json:"committed_at" table:"-"`
	CommitLSN      string     `json:"commit_lsn" table:"-"`
	XID            *int64     `json:"xid" table:"-"`
	Source         string     `json:"source" table:"-"`
	Kind           string     `json:"kind"`
	Reason         *string    `json:"reason"`
	Category       *string    `json:"category"`
	Relation       *string    `json:"relation"`
	Partition      *string    `json:"partition"`
	Tenant         *string    `json:"tenant"`
	SubjectDigest  *string    `json:"subject_digest" table:"-"`
	Cutoff         *time.Time `json:"cutoff" table:"-"`
	Basis          *string    `json:"basis" table:"-"`
	Actor          *string    `json:"actor"`
	Reference      *string    `json:"reference"`
	RequestID      *string    `json:"request_id" table:"-"`
	RunID          *string    `json:"run_id" table:"-"`
	PolicySHA256   *string    `json:"policy_sha256" table:"-"`
	RowCount       *int64     `json:"row_count"`
	Columns        []string   `json:"columns" table:"-"`
	ObjectsRemoved *int64     `json:"objects_removed" table:"-"`
	RowsRoot       *string    `json:"rows_root" table:"-"`
	LeafHash       *string    `json:"leaf_hash" table:"-"`
	ChainHash      *string    `json:"chain_hash" table:"-"`
}

// verifyRow is what log verify found.
type verifyRow struct {
	Entries     int64        `json:"entries"`
	Commitments int64        `json:"row_commitments"`
	Mismatches  int64        `json:"mismatches"`
	Gaps        int64        `json:"gaps"`
	Checkpoints int          `json:"checkpoints"`
	Anchored    int          `json:"anchored"`
	Root        string       `json:"root"`
	Whole       bool         `json:"whole"`
	Problems    []problemRow `json:"problems" table:"-"` // the first of them
}

type problemRow struct {
	Seq     int64  `json:"seq"`
	Problem string `json:"problem"`
}

func newLog(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Read, verify, sign and fork the purge log",
	}
	cmd.AddCommand(newLogTail(a), newLogVerify(a), newLogCheckpoint(a), newLogKeygen(a), newLogFork(a))
	return group(cmd)
}

func newLogTail(a *app) *cobra.Command {
	var n int
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the last entries of the purge log",
		Long: `Prints the last entries of the purge log, oldest first. JSON and CSV have all columns
of sweeper.purge_log, bytes in hex; the table has those that people read.`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if n < 1 {
				return fmt.Errorf("--lines %d: write a number from 1 on", n)
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&n, "lines", "n", 10, "how many")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("log tail", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		entries, err := sweeper.LogTail(cmd.Context(), cfg, n)
		if err != nil {
			return err
		}
		rows := make([]entryRow, len(entries))
		for i := range entries {
			rows[i] = newEntryRow(&entries[i])
		}
		return printRows(a.stdout, *output, rows)
	}
	return cmd
}

func newEntryRow(e *proof.Entry) entryRow {
	return entryRow{
		Seq: e.Seq, LoggedAt: e.LoggedAt, CommittedAt: e.CommittedAt, XID: e.XID,
		CommitLSN: fmt.Sprintf("%X/%X", e.CommitLSN>>32, uint32(e.CommitLSN)),
		Source:    e.Source, Kind: e.Kind, Reason: e.Reason, Category: e.Category, Relation: e.Relation,
		Partition: e.Partition, Tenant: e.Tenant, SubjectDigest: hexText(e.SubjectDigest), Cutoff: e.Cutoff,
		Basis: e.Basis, Actor: e.Actor, Reference: e.Reference, RequestID: uuidText(e.RequestID), RunID: uuidText(e.RunID),
		PolicySHA256: hexText(e.PolicySHA256), RowCount: e.RowCount, Columns: e.Columns, ObjectsRemoved: e.ObjectsRemoved,
		RowsRoot: hexText(e.RowsRoot), LeafHash: hexText(e.LeafHash), ChainHash: hexText(e.ChainHash),
	}
}

func hexText(b []byte) *string {
	if b == nil {
		return nil
	}
	s := hex.EncodeToString(b)
	return &s
}

func uuidText(id *[16]byte) *string {
	if id == nil {
		return nil
	}
	return text(uuid.UUID(*id))
}

func newLogVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the purge log from its rows",
		Long: `Recomputes leaf hashes, chain, tree and row commitments of the whole purge log and
compares them with what is stored. A log that is whole may have entries that are bad
news: mismatches, where a run did something else than it reported, and gaps, where it
could not be read what happened. Then it holds the log against every checkpoint, those in
the database and those at the anchors of SWEEPER_ANCHOR_URL: signature and root. --key is
the public key that you trust, one that you have from elsewhere; keys that took over from
it, as the log says, count when it has signed that. Without --key it is the public half of
SWEEPER_SIGNING_KEY, and without that the keys that the log names. Exit codes: 0 the log is
whole, 3 it is not, 6 that cannot be decided: an anchor cannot be reached.`,
		Args: cobra.NoArgs,
	}
	key := cmd.Flags().String("key", "", "public key to verify checkpoints with")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("log verify", sweeper.NeedDatabase)
		if err != nil {
			return err
		}
		display := newProgress(a.stderr, isTerminal(a.stderr), a.now)
		v, err := sweeper.VerifyLog(cmd.Context(), cfg, func(done, total int64) { display.Update(done, total, "verify") })
		display.Done()
		if err != nil {
			return undecided(err)
		}
		if v.Entries == 0 && len(v.Problems) == 0 {
			a.say("the purge log has not begun; it begins with the first sweep")
		}
		if v.Mismatches+v.Gaps > 0 {
			a.say("warning: the purge log has %d mismatch and %d gap entries; see what they say: select * from sweeper.purge_log where kind in ('mismatch', 'gap')", v.Mismatches, v.Gaps)
		}
		audit, bad := a.auditCheckpoints(cmd, *key)
		row := newVerifyRow(v)
		row.hold(audit)
		return errors.Join(printRows(a.stdout, *output, []verifyRow{row}), broken(v), bad)
	}
	return cmd
}

func newVerifyRow(v purgelog.Verification) verifyRow {
	r := verifyRow{Entries: v.Entries, Commitments: v.Rows, Mismatches: v.Mismatches, Gaps: v.Gaps, Root: hex.EncodeToString(v.Root[:]), Whole: len(v.Problems) == 0, Problems: []problemRow{}}
	for _, p := range v.Problems {
		r.Problems = append(r.Problems, problemRow{p.Seq, p.Text})
	}
	return r
}

// hold adds what holding the log against its checkpoints found.
func (r *verifyRow) hold(c sweeper.CheckpointAudit) {
	r.Checkpoints, r.Anchored = c.Checkpoints, c.Anchored
	r.Whole = r.Whole && len(c.Problems) == 0
	for _, p := range c.Problems {
		r.Problems = append(r.Problems, problemRow{p.Seq, p.Text})
	}
}

// broken is the error of a log that is not whole.
func broken(v purgelog.Verification) error {
	var errs []error
	for _, p := range v.Problems {
		errs = append(errs, &exitError{exitIntegrity, fmt.Errorf("entry %d: %s", p.Seq, p.Text)})
	}
	return errors.Join(errs...)
}

// undecided is the error of a log that could not be read to its end: whether
// it is whole stays open.
func undecided(err error) error {
	if exitCode(err) == exitFailed {
		return &exitError{exitUnreachable, fmt.Errorf("cannot decide whether the purge log is whole: %w", err)}
	}
	return err
}
