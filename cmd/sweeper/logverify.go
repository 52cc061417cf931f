package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

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
	First       int64        `json:"first" table:"-"`    // the first entry: those before were pruned
}

type problemRow struct {
	Seq     int64  `json:"seq"`
	Problem string `json:"problem"`
}

// offlineRow is what log verify --offline found in an export.
type offlineRow struct {
	First       int64    `json:"first"` // those before were pruned
	Entries     int64    `json:"entries"`
	Commitments int64    `json:"row_commitments"`
	Mismatches  int64    `json:"mismatches"`
	Gaps        int64    `json:"gaps"`
	Root        string   `json:"root"`
	Checkpoints int64    `json:"checkpoints"`
	Signed      int64    `json:"signed"`  // of them, by a key that was given
	Covered     int64    `json:"covered"` // entries under a signature
	Whole       bool     `json:"whole"`
	Problems    []string `json:"problems" table:"-"` // the first of them
}

// verifyFlags are those of log verify.
type verifyFlags struct {
	from    int64
	offline string
	keys    []string
	older   string
	output  *format
}

func newLogVerify(a *app) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the purge log from its rows, or verify an export or a proof",
		Long: `Recomputes leaf hashes, chain, tree and row commitments of the whole purge log and
compares them with what is stored. With --from it believes the stored hashes of the
entries before SEQ. A log that is whole may have entries that are bad news: mismatches,
where a run did something else than it reported, and gaps, where it could not be read
what happened. Then it holds the log against every checkpoint, those in the database and
those at the anchors of SWEEPER_ANCHOR_URL: signature and root. --key is the public key
that you trust, one that you have from elsewhere; keys that took over from it, as the log
says, count when it has signed that. Without --key it is the public half of
SWEEPER_SIGNING_KEY, and without that the keys that the log names. With --key one of the
checkpoints at least must be signed so.

With --offline it needs no database: it verifies an export, a folder made by log
export, or a proof, a file made by log prove. With --key, which may be given several times
then, checkpoints count only with its signature.

With --since-checkpoint it also tells whether the log, or the export, continues the one
that an older checkpoint spoke of: a note that somebody kept.

Exit codes: 0 whole, 2 there is no such export, proof or entry, 3 not whole, 6 that
cannot be decided, such as when an anchor cannot be reached.`,
		Example: `  sweeper log verify --from 120000
  sweeper log verify --offline export-2026 --key example.org/log+1a2b3c4d+AWq…
  sweeper log verify --offline proof.json --key example.org/log+1a2b3c4d+AWq…`,
		Args: cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.from < 0:
				return fmt.Errorf("--from %d: write the number of an entry, from 0 on", f.from)
			case f.offline == "" && len(f.keys) > 1:
				return errors.New("--key: give one key that you trust; the log names those that took over from it")
			case f.offline != "" && cmd.Flags().Changed("from"):
				return errors.New("--from is for the log in the database; an export is verified whole")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&f.from, "from", 0, "the first entry to recompute")
	flags.StringVar(&f.offline, "offline", "", "an export (a folder) or a proof (a file) to verify without a database")
	flags.StringArrayVar(&f.keys, "key", nil, "public key whose signatures count, as name+hash+key")
	flags.StringVar(&f.older, "since-checkpoint", "", "file with the note of an older checkpoint that the log must continue")
	f.output = outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		keys, err := publicKeys(f.keys)
		if err != nil {
			return err
		}
		older, _, err := readCheckpoint(f.older, keys)
		if err != nil {
			return err
		}
		if f.offline != "" {
			return a.verifyOffline(f, keys, older)
		}
		return a.verifyLog(cmd, f, older)
	}
	return cmd
}

// publicKeys reads the values of --key.
func publicKeys(texts []string) ([]note.Verifier, error) {
	var keys []note.Verifier
	for _, text := range texts {
		key, err := note.NewVerifier(strings.TrimSpace(text))
		if err != nil {
			return nil, usage(errors.New("--key is not a public key in the form of signed notes; write name+hash+key, as log checkpoint prints it"))
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// readCheckpoint reads the note of an older checkpoint from a file; none: nil.
func readCheckpoint(path string, keys []note.Verifier) (*proof.Checkpoint, []byte, error) {
	if path == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, usage(fmt.Errorf("--since-checkpoint: %w", err))
	}
	c, err := proof.OpenCheckpoint(text, keys...)
	if err == nil && c.Size == 0 {
		err = errors.New("it has no entries, and every log continues such a one")
	}
	if err != nil {
		return nil, nil, usage(fmt.Errorf("--since-checkpoint %s: %w", path, err))
	}
	return &c, text, nil
}

func (a *app) verifyLog(cmd *cobra.Command, f verifyFlags, older *proof.Checkpoint) error {
	cfg, _, err := a.load("log verify", sweeper.NeedDatabase)
	if err != nil {
		return err
	}
	display := a.progress("entries")
	v, err := sweeper.VerifyLog(cmd.Context(), cfg, sweeper.LogCheck{From: f.from, Older: older, Progress: func(done, total int64) { display.Update(done, total, "verify") }})
	display.Done()
	if err != nil {
		return undecided(err)
	}
	if size := v.First + v.Entries; f.from > size && len(v.Problems) == 0 {
		return usage(fmt.Errorf("--from %d: the purge log has %d entries; write the number of one of them, or of the next", f.from, size))
	}
	if v.Entries == 0 && len(v.Problems) == 0 {
		a.say("the purge log has not begun; it begins with the first sweep")
	}
	if v.First > 0 {
		a.say("entries 0 to %d were pruned; the log begins with entry %d", v.First-1, v.First)
	}
	if v.Mismatches+v.Gaps > 0 {
		a.say("warning: the purge log has %d mismatch and %d gap entries; see what they say: select * from sweeper.purge_log where kind in ('mismatch', 'gap')", v.Mismatches, v.Gaps)
	}
	pinned := ""
	if len(f.keys) > 0 {
		pinned = strings.TrimSpace(f.keys[0])
	}
	audit, bad := a.auditCheckpoints(cmd, pinned)
	row := newVerifyRow(v)
	row.hold(audit)
	return errors.Join(printRows(a.stdout, *f.output, []verifyRow{row}), broken(v), bad)
}

// hold adds what holding the log against its checkpoints found.
func (r *verifyRow) hold(c sweeper.CheckpointAudit) {
	r.Checkpoints, r.Anchored = c.Checkpoints, c.Anchored
	r.Whole = r.Whole && len(c.Problems) == 0
	for _, p := range c.Problems {
		r.Problems = append(r.Problems, problemRow{p.Seq, p.Text})
	}
}

func newVerifyRow(v purgelog.Verification) verifyRow {
	r := verifyRow{First: v.First, Entries: v.Entries, Commitments: v.Rows, Mismatches: v.Mismatches, Gaps: v.Gaps, Root: hex.EncodeToString(v.Root[:]), Whole: len(v.Problems) == 0, Problems: []problemRow{}}
	for _, p := range v.Problems {
		r.Problems = append(r.Problems, problemRow{p.Seq, p.Text})
	}
	return r
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

// verifyOffline verifies an export or a proof.
func (a *app) verifyOffline(f verifyFlags, keys []note.Verifier, older *proof.Checkpoint) error {
	info, err := os.Stat(f.offline)
	if err != nil {
		return usage(fmt.Errorf("--offline: %w", err))
	}
	if len(keys) == 0 {
		a.say("note: without --key no signature was checked: whoever knows the format could have forged all of this")
	}
	if !info.IsDir() {
		return a.verifyProof(f, keys, older)
	}
	r, err := proof.VerifyExport(os.DirFS(f.offline), proof.Offline{Keys: keys, Older: older})
	if errors.Is(err, proof.ErrNoExport) {
		return usage(fmt.Errorf("--offline %s has no file of an export in it; name the folder that log export wrote", f.offline))
	}
	if err != nil {
		return &exitError{exitUnreachable, fmt.Errorf("cannot decide whether the export is whole: %w", err)}
	}
	row := offlineRow{
		First: r.First, Entries: r.Entries, Commitments: r.Rows, Mismatches: r.Mismatches, Gaps: r.Gaps, Root: hex.EncodeToString(r.Root[:]),
		Checkpoints: r.Checkpoints, Signed: r.Signed, Covered: r.Covered, Whole: r.Problems == nil, Problems: append([]string{}, r.Problems...),
	}
	if n := r.Size - r.Covered; len(keys) > 0 && n > 0 && r.Signed > 0 {
		a.say("note: the last %d entries are newer than the last signed checkpoint: no signature covers them", n)
	}
	if r.Mismatches+r.Gaps > 0 {
		a.say("warning: the log has %d mismatch and %d gap entries", r.Mismatches, r.Gaps)
	}
	var errs []error
	for _, p := range r.Problems {
		errs = append(errs, &exitError{exitIntegrity, errors.New(p)})
	}
	return errors.Join(append([]error{printRows(a.stdout, *f.output, []offlineRow{row})}, errs...)...)
}

// verifyProof verifies a document made by log prove.
func (a *app) verifyProof(f verifyFlags, keys []note.Verifier, older *proof.Checkpoint) error {
	file, err := os.Open(f.offline)
	if err != nil {
		return usage(fmt.Errorf("--offline: %w", err))
	}
	defer func() { _ = file.Close() }()
	d, err := proof.ReadDocument(file)
	if errors.Is(err, proof.ErrNoDocument) {
		return usage(fmt.Errorf("--offline %s is no proof; name a file that log prove wrote, or the folder of an export", f.offline))
	}
	if err != nil {
		return &exitError{exitIntegrity, err}
	}
	proved, err := d.Verify(keys...)
	if err != nil {
		return &exitError{exitIntegrity, fmt.Errorf("the proof does not hold: %w", err)}
	}
	if older != nil && (proved.Older == nil || *proved.Older != *older) {
		return &exitError{exitIntegrity, errors.New("the proof holds, and is not about the checkpoint of --since-checkpoint")}
	}
	if proved.Older != nil {
		a.say("the log of %d entries continues the one of %d", proved.Checkpoint.Size, proved.Older.Size)
	}
	if d.Row != nil && d.Row.State != "" {
		a.say("the prover says that at %s the row was %s; no log proves that", d.Row.CheckedAt, d.Row.State)
	}
	rows := make([]entryRow, len(proved.Entries))
	for i := range proved.Entries {
		rows[i] = newEntryRow(&proved.Entries[i])
	}
	return printRows(a.stdout, *f.output, rows)
}
