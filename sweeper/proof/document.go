package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
)

// Document is a proof that stands alone: whoever has it and the log's public key
// needs neither database nor log. It proves that a row was purged, or that the
// log of today continues that of an older checkpoint, or both.
type Document struct {
	Format      string        `json:"format"`
	Checkpoint  string        `json:"checkpoint"`            // the note; its bare text when nothing was signed
	Row         *DocumentRow  `json:"row,omitempty"`         // the row that was purged
	Entries     []ProvedEntry `json:"entries,omitempty"`     // what was done to it, oldest first
	Older       string        `json:"older,omitempty"`       // the note of an older checkpoint
	Consistency []string      `json:"consistency,omitempty"` // hashes in hex: the log continues the older one
}

// DocumentRow names a row. Its key is personal data if it names a person: the
// document goes to whoever may know it.
type DocumentRow struct {
	Relation string   `json:"relation"` // root relation, schema.table
	Columns  []string `json:"columns"`  // of the key, in key order
	Key      []string `json:"key"`      // their texts
	// What the prover saw in the table, and when. The log does not prove it.
	State     string `json:"state,omitempty"`
	CheckedAt string `json:"checked_at,omitempty"`
}

// ProvedEntry is an entry with all that proves that it is in the log and that
// the row is in it.
type ProvedEntry struct {
	Leaf     string   `json:"leaf"`     // base64
	Path     []string `json:"path"`     // hashes in hex: the leaf is in the checkpoint's tree
	Nonce    string   `json:"nonce"`    // hex: opens the commitment of this one row
	Position int64    `json:"position"` // of the commitment among those of the entry
	RowPath  []string `json:"row_path"` // hashes in hex: the commitment is in the entry's rows_root
}

// documentFormat is the version of a document's layout.
const documentFormat = "sweeper/proof/v1"

// NewDocument begins a proof to be checked with the checkpoint of this note.
func NewDocument(checkpoint []byte) *Document {
	return &Document{Format: documentFormat, Checkpoint: string(checkpoint)}
}

// mostDocument is the longest proof in bytes.
const mostDocument = 16 << 20

// ErrNoDocument: the file does not say that it is a proof.
var ErrNoDocument = errors.New("the file is no proof of version 1")

// ReadDocument reads a proof as JSON.
func ReadDocument(r io.Reader) (*Document, error) {
	b, err := io.ReadAll(io.LimitReader(r, mostDocument+1))
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(b, []byte(documentFormat)) {
		return nil, fmt.Errorf("read a proof: %w", ErrNoDocument)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var p Document
	if err := d.Decode(&p); err != nil || p.Format != documentFormat || len(b) > mostDocument || d.More() {
		return nil, errors.New("read a proof: it is not a document of version 1")
	}
	return &p, nil
}

// Marshal writes the proof as JSON.
func (p *Document) Marshal() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(p)
	return out.Bytes(), err
}

// RowID returns the id that a row is committed to by.
func RowID(relation string, columns, key []string) []byte {
	id := AppendField(nil, []byte(relation))
	for i, name := range columns {
		id = AppendField(AppendField(id, []byte(name)), []byte(key[i]))
	}
	return id
}

// Proved is what a proof proves.
type Proved struct {
	Checkpoint Checkpoint
	Signed     bool        // by one of the keys
	Entries    []Entry     // each in the checkpoint's tree, with the row in it
	Older      *Checkpoint // the checkpoint continues it
	OlderSig   bool        // it is signed by one of the keys
}

// Verify checks a proof with nothing but the keys whose signatures count. With
// no keys the signatures are not looked at; with keys, a checkpoint that bears
// none of them is an error.
func (p *Document) Verify(keys ...note.Verifier) (*Proved, error) {
	var proved Proved
	var err error
	if proved.Checkpoint, err = OpenCheckpoint([]byte(p.Checkpoint), keys...); err != nil {
		return nil, err
	}
	proved.Signed = len(keys) > 0
	if (p.Row == nil) != (len(p.Entries) == 0) || p.Row == nil && p.Older == "" {
		return nil, errors.New("the document proves nothing: a row and its entries, or an older checkpoint, are missing")
	}
	if p.Row != nil && (len(p.Row.Columns) == 0 || len(p.Row.Columns) != len(p.Row.Key)) {
		return nil, errors.New("the document's row has not a text for each column of its key")
	}
	for i := range p.Entries {
		e, err := p.Entries[i].verify(proved.Checkpoint, p.Row)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the document: %w", i+1, err)
		}
		proved.Entries = append(proved.Entries, *e)
	}
	if p.Older == "" {
		return &proved, nil
	}
	older, err := OpenCheckpoint([]byte(p.Older), keys...)
	if err != nil {
		return nil, fmt.Errorf("the older checkpoint: %w", err)
	}
	path, err := hashes(p.Consistency)
	if err != nil {
		return nil, err
	}
	if older.Size > proved.Checkpoint.Size {
		return nil, fmt.Errorf("the older checkpoint has %d entries, more than the %d of the other", older.Size, proved.Checkpoint.Size)
	}
	if older.Size == 0 {
		return nil, errors.New("the older checkpoint has no entries, and every log continues such a one")
	}
	if err := CheckConsistency(older.Size, proved.Checkpoint.Size, path, older.Root, proved.Checkpoint.Root); err != nil {
		return nil, err
	}
	proved.Older, proved.OlderSig = &older, len(keys) > 0
	return &proved, nil
}

func (p *ProvedEntry) verify(c Checkpoint, row *DocumentRow) (*Entry, error) {
	leaf, err := base64.StdEncoding.DecodeString(p.Leaf)
	if err != nil {
		return nil, errors.New("its leaf is not in base64")
	}
	e, err := ParseLeaf(leaf)
	if err != nil {
		return nil, err
	}
	hash := HashLeaf(leaf)
	e.LeafHash = hash[:]
	path, err := hashes(p.Path)
	if err != nil {
		return nil, err
	}
	if e.Seq < 0 {
		return nil, errors.New("its seq is below 0")
	}
	if err := CheckInclusion(uint64(e.Seq), c.Size, hash, path, c.Root); err != nil {
		return nil, err
	}
	if deref(e.Relation) != row.Relation {
		return nil, fmt.Errorf("it is about another relation than %s", row.Relation)
	}
	nonce, err := hex.DecodeString(p.Nonce)
	if err != nil || len(nonce) != sha256.Size {
		return nil, errors.New("its nonce is not 32 bytes in hex")
	}
	if e.RowCount == nil || len(e.RowsRoot) != sha256.Size || p.Position < 0 || p.Position >= *e.RowCount {
		return nil, errors.New("it has no row commitment at this position")
	}
	commitment := OpenRow([32]byte(nonce), RowID(row.Relation, row.Columns, row.Key))
	if path, err = hashes(p.RowPath); err != nil {
		return nil, err
	}
	if err := CheckInclusion(uint64(p.Position), uint64(*e.RowCount), HashLeaf(commitment[:]), path, [32]byte(e.RowsRoot)); err != nil {
		return nil, fmt.Errorf("the row is not proved to be in it: %w", err)
	}
	return &e, nil
}

// hashes reads a path.
func hashes(texts []string) ([][]byte, error) {
	path := make([][]byte, len(texts))
	for i, t := range texts {
		b, err := hex.DecodeString(t)
		if err != nil || len(b) != sha256.Size {
			return nil, errors.New("a hash of the document is not 32 bytes in hex")
		}
		path[i] = b
	}
	return path, nil
}

// HexPath is a path as documents have it.
func HexPath(path [][]byte) []string {
	texts := make([]string, len(path))
	for i, b := range path {
		texts[i] = hex.EncodeToString(b)
	}
	return texts
}
