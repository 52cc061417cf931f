package main

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/proof"
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

func newLog(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Read, verify, export, prove, sign, prune and fork the purge log",
	}
	cmd.AddCommand(newLogTail(a), newLogVerify(a), newLogExport(a), newLogProve(a), newLogFind(a), newLogCheckpoint(a), newLogKeygen(a), newLogPrune(a), newLogFork(a))
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
