package proof

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
)

// The files of an export.
const (
	ManifestFile    = "manifest.json"
	entriesFile     = "entries.bin"
	rowsFile        = "rows.bin"
	checkpointsFile = "checkpoints.bin"
	csvFile         = "entries.csv"
	jsonFile        = "entries.json"
)

// contentFiles are those that the manifest lists, in its order.
var contentFiles = []string{checkpointsFile, entriesFile, csvFile, jsonFile, rowsFile}

// exportFormat is the version of an export's layout.
const exportFormat = "sweeper/export/v1"

// Manifest is what an export's manifest.json says. Every part of it is computed
// again when the export is verified.
type Manifest struct {
	Format      string          `json:"format"`
	Origin      string          `json:"origin"`      // at the last entry; "" when the log is empty
	First       int64           `json:"first"`       // the first entry: those before were pruned
	Size        int64           `json:"size"`        // entries ever, which is the tree's size
	ChainHash   string          `json:"chain_hash"`  // of sweeper.log_head, as what follows; hex
	Edge        string          `json:"edge"`        // of the tree
	Root        string          `json:"root"`        // of the tree
	Rows        int64           `json:"rows"`        // row commitments
	Checkpoints int64           `json:"checkpoints"` // their number
	Pruned      *ManifestPrune  `json:"pruned"`      // null: nothing ever was
	Files       []ManifestEntry `json:"files"`
}

// ManifestPrune is the record of the prune, hashes in hex.
type ManifestPrune struct {
	Size      int64  `json:"size"`
	ChainHash string `json:"chain_hash"`
	Edge      string `json:"edge"`
	EntrySeq  int64  `json:"entry_seq"`
	Origin    string `json:"origin"`
}

// ManifestEntry is a file of the export.
type ManifestEntry struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (m *Manifest) marshal() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return append(b, '\n'), nil
}

func (m *Manifest) head() (Head, error) {
	h := Head{Size: m.Size}
	for _, f := range []struct {
		from string
		to   *[]byte
	}{{m.ChainHash, &h.ChainHash}, {m.Edge, &h.Hashes}, {m.Root, &h.Root}} {
		b, err := hex.DecodeString(f.from)
		if err != nil {
			return h, fmt.Errorf("read the manifest: a hash is not in hex")
		}
		*f.to = b
	}
	return h, nil
}

func (m *Manifest) prune() (*Prune, error) {
	if m.Pruned == nil {
		return nil, nil
	}
	chain, err := hex.DecodeString(m.Pruned.ChainHash)
	edge, e := hex.DecodeString(m.Pruned.Edge)
	if err != nil || e != nil {
		return nil, fmt.Errorf("read the manifest: a hash is not in hex")
	}
	return &Prune{Size: m.Pruned.Size, ChainHash: chain, Hashes: edge, EntrySeq: m.Pruned.EntrySeq, Origin: m.Pruned.Origin}, nil
}

// manifestPrune is the record as a manifest has it.
func manifestPrune(p *Prune) *ManifestPrune {
	if p == nil {
		return nil
	}
	return &ManifestPrune{Size: p.Size, ChainHash: hex.EncodeToString(p.ChainHash), Edge: hex.EncodeToString(p.Hashes), EntrySeq: p.EntrySeq, Origin: p.Origin}
}

// Exporter writes an export as a stream: all entries in the order of seq, all
// row commitments in the order of seq and part, and all checkpoints in the order
// of their sizes, in any mixture of the three.
type Exporter struct {
	m     Manifest
	files map[string]*exportFile
	open  func(name string) (io.Writer, error)
	line  []byte // scratch
	count int64  // entries
}

// exportFile counts and hashes what is written to it.
type exportFile struct {
	w   *bufio.Writer
	n   int64
	sum hash.Hash
}

func (f *exportFile) Write(b []byte) (int, error) {
	f.n += int64(len(b))
	f.sum.Write(b)
	return f.w.Write(b)
}

// NewExporter begins an export. open makes a file of it by its name; closing the
// files is the caller's.
func NewExporter(open func(name string) (io.Writer, error)) (*Exporter, error) {
	x := &Exporter{files: map[string]*exportFile{}, open: open, m: Manifest{Format: exportFormat}}
	for _, name := range contentFiles {
		w, err := open(name)
		if err != nil {
			return nil, err
		}
		x.files[name] = &exportFile{w: bufio.NewWriterSize(w, 1<<16), sum: sha256.New()}
	}
	head := make([]any, len(columnNames))
	for i, name := range columnNames {
		head[i] = name
	}
	line, err := appendCSV(nil, head)
	if err == nil {
		_, err = x.files[csvFile].Write(line)
	}
	if err == nil {
		_, err = x.files[jsonFile].Write([]byte("["))
	}
	return x, err
}

// Entry adds the next entry, of which leaf is the leaf. Its own hashes are taken
// as they are stored.
func (x *Exporter) Entry(leaf, leafHash, chainHash []byte) error {
	e, err := ParseLeaf(leaf)
	if err != nil {
		return err
	}
	if len(leafHash) != sha256.Size || len(chainHash) != sha256.Size {
		return fmt.Errorf("export entry %d: a hash of it has not the length of one", e.Seq)
	}
	e.LeafHash, e.ChainHash = leafHash, chainHash
	x.m.Origin = OriginAfter(x.m.Origin, &e)
	if x.line, err = appendLines(x.line[:0], &e, x.count, x.files); err != nil {
		return err
	}
	x.count++
	record := append(append(AppendField(x.line[:0], leaf), leafHash...), chainHash...)
	_, err = x.files[entriesFile].Write(record)
	x.line = record
	return err
}

// appendLines writes the entry as people read it. Writing and comparing do it
// with the same function, so that both are the same bytes.
func appendLines[W io.Writer](scratch []byte, e *Entry, before int64, files map[string]W) ([]byte, error) {
	record := e.columnTexts()
	line, err := appendCSV(scratch, record)
	if err != nil {
		return scratch, err
	}
	if _, err := files[csvFile].Write(line); err != nil {
		return scratch, err
	}
	separator := ",\n"
	if before == 0 {
		separator = "\n"
	}
	if line, err = appendJSON(append(line[:0], separator...), record); err != nil {
		return scratch, err
	}
	_, err = files[jsonFile].Write(line)
	return line, err
}

// Rows adds the next part of an entry's row commitments.
func (x *Exporter) Rows(seq int64, part int32, commitments []byte) error {
	var place [12]byte
	binary.BigEndian.PutUint64(place[:], uint64(seq))
	binary.BigEndian.PutUint32(place[8:], uint32(part))
	x.m.Rows += int64(len(commitments) / sha256.Size)
	x.line = AppendField(append(x.line[:0], place[:]...), commitments)
	_, err := x.files[rowsFile].Write(x.line)
	return err
}

// Checkpoint adds the note of the next checkpoint.
func (x *Exporter) Checkpoint(note []byte) error {
	x.m.Checkpoints++
	x.line = AppendField(x.line[:0], note)
	_, err := x.files[checkpointsFile].Write(x.line)
	return err
}

// Close writes the manifest. pruned is nil when nothing ever was pruned.
func (x *Exporter) Close(head Head, pruned *Prune) error {
	if _, err := x.files[jsonFile].Write([]byte("\n]\n")); err != nil {
		return err
	}
	x.m.Pruned = manifestPrune(pruned)
	if pruned != nil {
		x.m.First = pruned.Size
		if x.m.Origin == "" {
			x.m.Origin = pruned.Origin
		}
	}
	x.m.Size, x.m.ChainHash, x.m.Edge, x.m.Root = head.Size, hex.EncodeToString(head.ChainHash), hex.EncodeToString(head.Hashes), hex.EncodeToString(head.Root)
	for _, name := range contentFiles {
		f := x.files[name]
		if err := f.w.Flush(); err != nil {
			return err
		}
		x.m.Files = append(x.m.Files, ManifestEntry{Name: name, Bytes: f.n, SHA256: hex.EncodeToString(f.sum.Sum(nil))})
	}
	b, err := x.m.marshal()
	if err != nil {
		return err
	}
	w, err := x.open(ManifestFile)
	if err == nil {
		_, err = io.Copy(w, bytes.NewReader(b))
	}
	return err
}
