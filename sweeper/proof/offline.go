package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// Offline says how an export is to be verified.
type Offline struct {
	Keys  []note.Verifier // whose signatures count; none: signatures are not looked at
	Older *Checkpoint     // one that the log must continue; nil: none
}

// ExportReport is what VerifyExport found.
type ExportReport struct {
	First, Size      int64 // the first entry that is there, and entries ever
	Entries, Rows    int64 // checked
	Mismatches, Gaps int64 // entries of these kinds; a log that has them may be whole
	Root             [32]byte
	Checkpoints      int64    // whose size and root were checked
	Signed           int64    // of them, those with a signature of one of the keys
	Covered          int64    // entries under the largest of those
	Problems         []string // none: the export is whole
}

// ErrPruned: what was asked of lies in the part of the log that was pruned.
var ErrPruned = errors.New("that part of the log was pruned")

// ErrNoExport: none of an export's files is there, so that nothing is said of any log.
var ErrNoExport = errors.New("the folder has no file of an export in it")

// mostProblems is how many problems an export's report has at most.
const mostProblems = 20

// VerifyExport checks an export with nothing but its files: leaves, chain, tree,
// row commitments and their counts, checkpoints, the record of a prune, the
// readable forms byte by byte against the leaves, and the manifest, whose every
// part is computed again. It reads each file once, in memory that does not grow.
// The error is of a file that cannot be read, ErrPruned or ErrNoExport; what is wrong with
// the export is in the report.
//
// An export that was forged whole, by somebody who knows the format, has no
// problems but one: its checkpoints are not signed by the keys.
func VerifyExport(fsys fs.FS, o Offline) (ExportReport, error) {
	v := &exportVerifier{o: o, rows: newRecords(fsys, rowsFile), entries: newRecords(fsys, entriesFile), checkpoints: newRecords(fsys, checkpointsFile)}
	err := v.run(fsys)
	for _, r := range []*records{v.rows, v.entries, v.checkpoints} {
		err = errors.Join(err, r.close())
	}
	for _, same := range v.readable {
		err = errors.Join(err, same.r.close())
	}
	return v.report, err
}

type exportVerifier struct {
	o      Offline
	report ExportReport

	manifest Manifest // as it is written
	raw      []byte
	head     Head
	pruned   *Prune

	entries, rows, checkpoints *records
	readable                   map[string]*sameAs

	verifier *Verifier
	origin   string
	named    bool        // the entry of the prune went by
	part     *rowPart    // the next one, nil at the end
	next     *Checkpoint // the next one, nil at the end
	signed   bool        // it has a signature of one of the keys
	count    int64       // commitments, checkpoints
	notes    int64
	older    bool // the older checkpoint was compared
}

func (v *exportVerifier) found(format string, args ...any) {
	if len(v.report.Problems) < mostProblems {
		v.report.Problems = append(v.report.Problems, fmt.Sprintf(format, args...))
	}
}

func (v *exportVerifier) problems(all []Problem) {
	for _, p := range all {
		v.found("entry %d: %s", p.Seq, p.Text)
	}
}

func (v *exportVerifier) run(fsys fs.FS) error {
	if ok, err := v.begin(fsys); err != nil || !ok {
		return err
	}
	if o := v.o.Older; o != nil && o.Size < uint64(v.report.First) {
		return fmt.Errorf("compare with a checkpoint of %d entries: %w", o.Size, ErrPruned)
	}
	if err := v.nextCheckpoint(); err != nil {
		return err
	}
	if err := v.nextPart(); err != nil {
		return err
	}
	if err := v.meet(); err != nil {
		return err
	}
	for {
		leaf, hashes, err := v.entries.entry()
		if err != nil {
			return err
		}
		if leaf == nil {
			break
		}
		if err := v.entry(leaf, hashes); err != nil {
			return err
		}
	}
	return v.end()
}

// begin looks at what files there are, and at the manifest.
func (v *exportVerifier) begin(fsys fs.FS) (ok bool, err error) {
	have, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return false, err
	}
	due := append([]string{ManifestFile}, contentFiles...)
	if !slices.ContainsFunc(have, func(f fs.DirEntry) bool { return slices.Contains(due, f.Name()) }) {
		return false, ErrNoExport
	}
	for _, f := range have {
		if !slices.Contains(due, f.Name()) || !f.Type().IsRegular() {
			v.found("file %s does not belong to an export", f.Name())
		}
	}
	whole := true
	for _, name := range due {
		if !slices.ContainsFunc(have, func(f fs.DirEntry) bool { return f.Name() == name }) {
			v.found("file %s is missing", name)
			whole = false
		}
	}
	if !whole {
		return false, nil
	}
	if v.raw, err = readManifest(fsys); err != nil {
		return false, err
	}
	d := json.NewDecoder(bytes.NewReader(v.raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&v.manifest); err != nil || v.manifest.Format != exportFormat {
		v.found("file %s is not the manifest of an export of version 1", ManifestFile)
		return false, nil
	}
	head, err := v.manifest.head()
	pruned, e := v.manifest.prune()
	if err != nil || e != nil {
		v.found("file %s has a hash that is none", ManifestFile)
		return false, nil
	}
	v.head, v.pruned = head, pruned
	v.verifier = NewVerifier()
	if pruned != nil {
		if v.verifier, err = pruned.Verifier(); err != nil {
			v.found("file %s has a record of a prune that is none", ManifestFile)
			return false, nil
		}
		v.report.First, v.origin = pruned.Size, pruned.Origin
	}
	return true, v.openReadable(fsys)
}

func readManifest(fsys fs.FS) ([]byte, error) {
	f, err := fsys.Open(ManifestFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, mostManifest))
}

// openReadable prepares to compare the readable forms with what the leaves give.
func (v *exportVerifier) openReadable(fsys fs.FS) error {
	v.readable = map[string]*sameAs{csvFile: {r: newRecords(fsys, csvFile)}, jsonFile: {r: newRecords(fsys, jsonFile)}}
	head := make([]any, len(columnNames))
	for i, name := range columnNames {
		head[i] = name
	}
	line, err := appendCSV(nil, head)
	if err == nil {
		_, err = v.readable[csvFile].Write(line)
	}
	if err == nil {
		_, err = v.readable[jsonFile].Write([]byte("["))
	}
	return err
}

func (v *exportVerifier) entry(leaf, hashes []byte) error {
	seq := v.verifier.last + 1
	e, err := ParseLeaf(leaf)
	if err != nil {
		v.found("entry %d or behind it: %v", seq, err)
		e.Seq = seq // its hashes are compared all the same
	}
	e.LeafHash, e.ChainHash = hashes[:32], hashes[32:]
	v.problems(v.verifier.AddLeaf(e.Seq, leaf, e.LeafHash, e.ChainHash))
	v.origin = OriginAfter(v.origin, &e)
	if v.pruned != nil && e.Seq == v.pruned.EntrySeq {
		v.named = true
		v.problems(v.pruned.Check(&e))
	}
	switch e.Kind {
	case KindMismatch:
		v.report.Mismatches++
	case KindGap:
		v.report.Gaps++
	}
	if _, err := appendLines(nil, &e, v.report.Entries, v.readable); err != nil {
		return err
	}
	v.report.Entries++
	if err := v.entryRows(&e); err != nil {
		return err
	}
	return v.meet()
}

// entryRows compares an entry with its row commitments.
func (v *exportVerifier) entryRows(e *Entry) error {
	var rows Rows
	due, whole := int32(0), true
	for v.part != nil && v.part.seq <= e.Seq {
		if v.part.seq < e.Seq || e.RowsRoot == nil {
			v.found("entry %d: row commitments without an entry that they belong to", v.part.seq)
		} else {
			whole = whole && v.part.part == due && len(v.part.commitments)%32 == 0
			due++
			for c := v.part.commitments; len(c) >= 32; c = c[32:] {
				rows.Add([32]byte(c))
			}
		}
		if err := v.nextPart(); err != nil {
			return err
		}
	}
	if root := rows.Root(); e.RowsRoot != nil && (!whole || !bytes.Equal(root[:], e.RowsRoot) || e.RowCount == nil || *e.RowCount != rows.Count()) {
		v.found("entry %d: the %d row commitments do not give the entry's count and root", e.Seq, rows.Count())
	}
	v.report.Rows += rows.Count()
	return nil
}

// meet compares the tree so far with the checkpoints of its size.
func (v *exportVerifier) meet() error {
	size, root := v.verifier.tree.Size(), [32]byte{}
	older := v.o.Older != nil && v.o.Older.Size == size && !v.older
	if older || v.next != nil && v.next.Size <= size {
		root = v.verifier.tree.Root()
	}
	if older {
		v.older = true
		if v.o.Older.Root != root || v.o.Older.Origin != v.origin {
			v.found("the log is not the one that the older checkpoint of %d entries speaks of", size)
		}
	}
	for v.next != nil && v.next.Size <= size {
		switch c := v.next; {
		case c.Size < uint64(v.report.First): // its entries are gone, and nobody can tell
		case c.Size < size:
			v.found("checkpoint of %d entries: it stands behind larger ones", c.Size)
		case c.Root != root || c.Origin != v.origin:
			v.found("checkpoint of %d entries: the entries give another origin or root", c.Size)
		default:
			v.report.Checkpoints++
			if v.signed {
				v.report.Signed++
				v.report.Covered = int64(c.Size)
			}
		}
		if err := v.nextCheckpoint(); err != nil {
			return err
		}
	}
	return nil
}

// end looks at what is left, and at the manifest once more.
func (v *exportVerifier) end() error {
	for v.part != nil {
		v.found("entry %d: row commitments without an entry that they belong to", v.part.seq)
		if err := v.nextPart(); err != nil {
			return err
		}
	}
	for v.next != nil {
		v.found("checkpoint of %d entries: the log has only %d", v.next.Size, v.verifier.tree.Size())
		if err := v.nextCheckpoint(); err != nil {
			return err
		}
	}
	switch {
	case v.o.Older != nil && !v.older:
		v.found("the older checkpoint has %d entries and the log only %d", v.o.Older.Size, v.verifier.tree.Size())
	case len(v.o.Keys) > 0 && v.report.Signed == 0 && v.head.Size > 0:
		v.found("no checkpoint of the export is signed by the key that was given")
	}
	if v.pruned != nil && !v.named {
		v.found("entry %d: the record of a prune names it, and it is not there", v.pruned.EntrySeq)
	}
	v.problems(v.verifier.Compare(v.head))
	v.report.Size, v.report.Root = v.head.Size, v.verifier.tree.Root()
	if _, err := v.readable[jsonFile].Write([]byte("\n]\n")); err != nil {
		return err
	}
	return v.compareManifest()
}

// compareManifest computes every part of the manifest anew.
func (v *exportVerifier) compareManifest() error {
	m := Manifest{
		Format: exportFormat, Origin: v.origin, First: v.report.First, Size: v.head.Size, ChainHash: hex.EncodeToString(v.head.ChainHash),
		Edge: hex.EncodeToString(v.head.Hashes), Root: hex.EncodeToString(v.head.Root), Rows: v.count, Checkpoints: v.notes, Pruned: manifestPrune(v.pruned),
	}
	for _, name := range contentFiles {
		var r *records
		switch name {
		case entriesFile:
			r = v.entries
		case rowsFile:
			r = v.rows
		case checkpointsFile:
			r = v.checkpoints
		default:
			same := v.readable[name]
			if err := same.end(); err != nil {
				return err
			}
			if same.differs {
				v.found("file %s does not say what the entries say", name)
			}
			r = same.r
		}
		if r.bad != "" {
			v.found("file %s: %s", name, r.bad)
		}
		if err := r.drain(); err != nil {
			return err
		}
		m.Files = append(m.Files, ManifestEntry{Name: name, Bytes: r.n, SHA256: hex.EncodeToString(r.sum.Sum(nil))})
		if err := r.close(); err != nil {
			return err
		}
	}
	want, err := m.marshal()
	if err != nil {
		return err
	}
	if !bytes.Equal(want, v.raw) {
		v.found("file %s is not that of these files", ManifestFile)
	}
	return nil
}

func (v *exportVerifier) nextPart() error {
	var err error
	if v.part, err = v.rows.part(); v.part != nil {
		v.count += int64(len(v.part.commitments) / sha256.Size)
	}
	return err
}

func (v *exportVerifier) nextCheckpoint() error {
	v.next = nil
	for {
		msg, err := v.checkpoints.field(mostNote)
		if err != nil || msg == nil {
			return err
		}
		v.notes++
		c, err := OpenCheckpoint(msg, v.o.Keys...)
		v.signed = err == nil && len(v.o.Keys) > 0
		if errors.Is(err, ErrUnsigned) {
			c, err = OpenCheckpoint(msg) // by a key that nobody asks of
		}
		if err == nil {
			v.next = &c
			return nil
		}
		v.found("checkpoint %d of the export: %v", v.notes, err)
	}
}
