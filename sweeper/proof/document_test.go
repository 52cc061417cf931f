package proof_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

var documentKey = []byte("0123456789abcdef0123456789abcdef")

// document proves the second row of entry 3 in a log of nine entries, and that
// the log of five went before it.
func document(t *testing.T) (*proof.Document, *exported) {
	t.Helper()
	x := export(t, 0, 9, 5, 9)
	id := proof.RowID("app.t", []string{"a", "b"}, []string{"7", "x"})
	committer := proof.NewCommitter(documentKey)
	// Entry 3 is made anew, about that row.
	var rows proof.Rows
	commitments := [][32]byte{{1}, committer.Commit(id), {3}}
	position, err := proof.NewInclusion(1, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commitments {
		rows.Add(c)
		position.Add(proof.HashLeaf(c[:]))
	}
	e := x.entries[3]
	root, count, relation := rows.Root(), rows.Count(), "app.t"
	e.RowsRoot, e.RowCount, e.Relation = root[:], &count, &relation
	leaf, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	inclusion, err := proof.NewInclusion(3, 9)
	if err != nil {
		t.Fatal(err)
	}
	consistency, err := proof.NewConsistency(5, 9)
	if err != nil {
		t.Fatal(err)
	}
	var five [32]byte
	var tree proof.Tree
	for i, one := range x.entries {
		hash := [32]byte(one.LeafHash)
		if i == 3 {
			hash = proof.HashLeaf(leaf)
		}
		tree.Append(hash)
		inclusion.Add(hash)
		consistency.Add(hash)
		if i == 4 {
			five = tree.Root()
		}
	}
	path, err := inclusion.Hashes()
	rowPath, e2 := position.Hashes()
	older, e3 := consistency.Hashes()
	if err != nil || e2 != nil || e3 != nil {
		t.Fatal(err, e2, e3)
	}
	origin := proof.Origin([32]byte(x.entries[0].LeafHash))
	d := proof.NewDocument([]byte(proof.Checkpoint{Origin: origin, Size: 9, Root: tree.Root()}.Text()))
	d.Row = &proof.DocumentRow{Relation: "app.t", Columns: []string{"a", "b"}, Key: []string{"7", "x"}}
	nonce := committer.Nonce(id)
	d.Entries = []proof.ProvedEntry{{Leaf: base64.StdEncoding.EncodeToString(leaf), Path: proof.HexPath(path), Nonce: hex.EncodeToString(nonce[:]), Position: 1, RowPath: proof.HexPath(rowPath)}}
	d.Older, d.Consistency = proof.Checkpoint{Origin: origin, Size: 5, Root: five}.Text(), proof.HexPath(older)
	return d, x
}

// TestDocumentProves reads a proof back and verifies it, and then changes each
// part of it: nothing else passes for it, another row least of all (row 34 of
// the table of attacks).
func TestDocumentProves(t *testing.T) {
	t.Parallel()
	d, _ := document(t)
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(hex.EncodeToString(documentKey))) {
		t.Error("the document has the key")
	}
	again, err := proof.ReadDocument(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	proved, err := again.Verify()
	if err != nil || proved.Signed || len(proved.Entries) != 1 || proved.Entries[0].Seq != 3 || proved.Older.Size != 5 {
		t.Fatalf("%+v %v", proved, err)
	}
	other := func(hash string) string { return strings.Repeat("0", 8) + hash[8:] }
	for name, change := range map[string]func(d *proof.Document){
		"another key":             func(d *proof.Document) { d.Row.Key = []string{"8", "x"} },
		"the key cut otherwise":   func(d *proof.Document) { d.Row.Key = []string{"7x", ""} },
		"another column":          func(d *proof.Document) { d.Row.Columns = []string{"b", "a"} },
		"another relation":        func(d *proof.Document) { d.Row.Relation = "app.u" },
		"no text for a column":    func(d *proof.Document) { d.Row.Key = d.Row.Key[:1] },
		"no columns":              func(d *proof.Document) { d.Row.Columns, d.Row.Key = nil, nil },
		"another nonce":           func(d *proof.Document) { d.Entries[0].Nonce = other(d.Entries[0].Nonce) },
		"another position":        func(d *proof.Document) { d.Entries[0].Position = 0 },
		"a position of nothing":   func(d *proof.Document) { d.Entries[0].Position = 3 },
		"another path":            func(d *proof.Document) { d.Entries[0].Path[1] = other(d.Entries[0].Path[1]) },
		"a shorter path":          func(d *proof.Document) { d.Entries[0].Path = d.Entries[0].Path[1:] },
		"another path of rows":    func(d *proof.Document) { d.Entries[0].RowPath[0] = other(d.Entries[0].RowPath[0]) },
		"a longer path of rows":   func(d *proof.Document) { d.Entries[0].RowPath = append(d.Entries[0].RowPath, d.Entries[0].Nonce) },
		"half a leaf":             func(d *proof.Document) { d.Entries[0].Leaf = d.Entries[0].Leaf[:40] },
		"another root":            func(d *proof.Document) { d.Checkpoint = d.Older },
		"another consistency":     func(d *proof.Document) { d.Consistency[0] = other(d.Consistency[0]) },
		"checkpoints exchanged":   func(d *proof.Document) { d.Row, d.Entries, d.Checkpoint, d.Older = nil, nil, d.Older, d.Checkpoint },
		"an older log of nothing": func(d *proof.Document) { d.Older = proof.Checkpoint{Origin: "x"}.Text(); d.Consistency = nil },
		"nothing to prove":        func(d *proof.Document) { d.Row, d.Entries, d.Older = nil, nil, "" },
		"a row and no entry":      func(d *proof.Document) { d.Entries = nil },
		"entries and no row":      func(d *proof.Document) { d.Row = nil },
	} {
		d, _ := document(t)
		if change(d); true {
			if proved, err := d.Verify(); err == nil {
				t.Errorf("%s: %+v is proved", name, proved)
			}
		}
	}
	for _, text := range []string{"", "{}", `{"format":"sweeper/proof/v2"}`, string(text) + "x", strings.Replace(string(text), "format", "formed", 1)} {
		if _, err := proof.ReadDocument(strings.NewReader(text)); err == nil {
			t.Errorf("%.40q reads as a proof", text)
		}
	}
}

// TestDocumentIsSigned: with a key, a checkpoint without its signature proves
// nothing.
func TestDocumentIsSigned(t *testing.T) {
	t.Parallel()
	x := export(t, 0, 9, 5, 9)
	consistency, err := proof.NewConsistency(5, 9)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range x.entries {
		consistency.Add([32]byte(e.LeafHash))
	}
	path, err := consistency.Hashes()
	if err != nil {
		t.Fatal(err)
	}
	d := proof.NewDocument(x.notes[9])
	d.Older, d.Consistency = string(x.notes[5]), proof.HexPath(path)
	if proved, err := d.Verify(x.verifier); err != nil || !proved.Signed || proved.Older.Size != 5 {
		t.Errorf("%+v %v", proved, err)
	}
	if _, err := d.Verify(export(t, 0, 1).verifier); err == nil {
		t.Error("somebody else's key passes for the log's")
	}
	c, err := proof.OpenCheckpoint(x.notes[9])
	if err != nil {
		t.Fatal(err)
	}
	d.Checkpoint = c.Text()
	if _, err := d.Verify(x.verifier); err == nil {
		t.Error("a bare checkpoint passes for a signed one")
	}
}
