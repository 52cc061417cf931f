package proof_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// exported is a log and its export.
type exported struct {
	files    fstest.MapFS
	entries  []proof.Entry
	notes    map[int][]byte // signed, by size
	verifier note.Verifier
}

// export makes a log of n entries, of which every second has three row
// commitments and the last says what was pruned before entry first; and exports
// it with a signed checkpoint of each of the sizes.
func export(t *testing.T, first, n int, sizes ...int) *exported {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "example.org/log")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	x := &exported{files: fstest.MapFS{}, notes: map[int][]byte{}}
	if x.verifier, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	built := map[string]*bytes.Buffer{}
	exporter, err := proof.NewExporter(func(name string) (io.Writer, error) {
		built[name] = &bytes.Buffer{}
		return built[name], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var tree proof.Tree
	var chain [32]byte
	var pruned *proof.Prune
	origin := ""
	for i := range n {
		e := proof.Entry{Seq: int64(i), LoggedAt: time.Unix(1_800_000_000, 0), CommitLSN: uint64(i), Source: "7/s", Kind: "delete", Columns: []string{"a", `b"<`}}
		if i == 0 {
			e.Kind = proof.KindGenesis
		}
		if i == n-1 && first > 0 {
			e.Kind = proof.KindPrune
			said := pruned.Reference("seven years")
			e.Reference = &said
		}
		var parts []byte
		if i%2 == 1 {
			var rows proof.Rows
			actor := fmt.Sprint("=who", i)
			e.Actor = &actor
			for k := range 3 {
				c := sha256.Sum256([]byte{byte(i), byte(k)})
				rows.Add(c)
				parts = append(parts, c[:]...)
			}
			root, count := rows.Root(), rows.Count()
			e.RowsRoot, e.RowCount = root[:], &count
		}
		leaf, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		hash := proof.HashLeaf(leaf)
		tree.Append(hash)
		chain = proof.Chain(chain, hash)
		e.LeafHash, e.ChainHash = hash[:], bytes.Clone(chain[:])
		x.entries = append(x.entries, e)
		origin = proof.OriginAfter(origin, &e)
		if i+1 == first {
			pruned = &proof.Prune{Size: int64(first), ChainHash: e.ChainHash, Hashes: bytes.Join(tree.Hashes(), nil), EntrySeq: int64(n - 1), Origin: origin}
		}
		if i >= first {
			errs := exporter.Entry(leaf, e.LeafHash, e.ChainHash)
			if parts != nil {
				errs = errors.Join(errs, exporter.Rows(e.Seq, 0, parts[:64]), exporter.Rows(e.Seq, 1, parts[64:]))
			}
			if errs != nil {
				t.Fatal(errs)
			}
		}
		if slices.Contains(sizes, i+1) {
			x.notes[i+1], err = proof.Checkpoint{Origin: origin, Size: tree.Size(), Root: tree.Root()}.Sign(signer)
			if err == nil {
				err = exporter.Checkpoint(x.notes[i+1])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	root := tree.Root()
	head := proof.Head{Size: int64(n), ChainHash: chain[:], Hashes: bytes.Join(tree.Hashes(), nil), Root: root[:]}
	if err := exporter.Close(head, pruned); err != nil {
		t.Fatal(err)
	}
	for name, b := range built {
		x.files[name] = &fstest.MapFile{Data: b.Bytes()}
	}
	return x
}

// check verifies an export with the key.
func (x *exported) check(t *testing.T, files fstest.MapFS, keys ...note.Verifier) proof.ExportReport {
	t.Helper()
	report, err := proof.VerifyExport(files, proof.Offline{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestExportVerifies(t *testing.T) {
	t.Parallel()
	for _, first := range []int{0, 1, 3, 4} {
		x := export(t, first, 9, 2, 5, 6, 8)
		got := x.check(t, x.files, x.verifier)
		checked := int64(4)
		if first > 2 {
			checked = 3
		}
		rows := int64(3 * (4 - first/2))
		if got.Problems != nil || got.Entries != int64(9-first) || got.First != int64(first) || got.Size != 9 || got.Rows != rows ||
			got.Checkpoints != checked || got.Signed != checked || got.Covered != 8 {
			t.Errorf("from %d on: %+v", first, got)
		}
		if bare := x.check(t, x.files); bare.Problems != nil || bare.Checkpoints != checked || bare.Signed != 0 || bare.Covered != 0 {
			t.Errorf("from %d on, without a key: %+v", first, bare)
		}
		for older, signed := range x.notes {
			c, err := proof.OpenCheckpoint(signed, x.verifier)
			if err != nil {
				t.Fatal(err)
			}
			got, err := proof.VerifyExport(x.files, proof.Offline{Older: &c})
			if gone := older < first; gone != errors.Is(err, proof.ErrPruned) || !gone && (err != nil || got.Problems != nil) {
				t.Errorf("from %d on, since %d: %+v %v", first, older, got, err)
			}
			c.Root[7] ^= 1
			if got, err := proof.VerifyExport(x.files, proof.Offline{Older: &c}); older >= first && (err != nil || len(got.Problems) != 1) {
				t.Errorf("from %d on, since another tree of %d: %+v %v", first, older, got, err)
			}
		}
	}
	x := export(t, 0, 9)
	if got, err := proof.VerifyExport(x.files, proof.Offline{Older: &proof.Checkpoint{Size: 10}}); err != nil || len(got.Problems) != 1 {
		t.Errorf("since a tree that is larger: %+v %v", got, err)
	}
}

// TestEveryByteOfAnExportCounts flips the lowest bit, and that of a letter's
// case, of each byte of each file, with the key and without.
func TestEveryByteOfAnExportCounts(t *testing.T) {
	t.Parallel()
	x := export(t, 2, 5, 3, 4)
	for name, file := range x.files {
		for i := range file.Data {
			for _, bit := range []byte{0x01, 0x20} {
				changed := maps.Clone(x.files)
				data := bytes.Clone(file.Data)
				data[i] ^= bit
				changed[name] = &fstest.MapFile{Data: data}
				if got := x.check(t, changed, x.verifier); got.Problems == nil {
					t.Errorf("%s: bit %02x of byte %d makes no difference", name, bit, i)
				}
				if got := x.check(t, changed); got.Problems == nil {
					t.Errorf("%s: bit %02x of byte %d makes no difference without a key", name, bit, i)
				}
			}
		}
	}
}

// TestFilesOfAnExportCount cuts each file at every third byte, makes it longer, takes
// it away, puts another in its place, and adds one.
func TestFilesOfAnExportCount(t *testing.T) {
	t.Parallel()
	x := export(t, 2, 5, 3, 4)
	other := export(t, 2, 5, 3, 4) // signed by somebody else
	bad := func(what string, files fstest.MapFS) {
		t.Helper()
		if got := x.check(t, files, x.verifier); got.Problems == nil {
			t.Errorf("%s: nothing is found", what)
		}
	}
	names := slices.Collect(maps.Keys(x.files))
	for _, name := range names {
		data := x.files[name].Data
		for n := 0; n < len(data); n += 3 {
			changed := maps.Clone(x.files)
			changed[name] = &fstest.MapFile{Data: data[:n]}
			bad(fmt.Sprintf("%s cut at %d", name, n), changed)
		}
		for _, more := range []string{"\n", "\x00", strings.Repeat("\x00", 12)} {
			changed := maps.Clone(x.files)
			changed[name] = &fstest.MapFile{Data: append(bytes.Clone(data), more...)}
			bad(name+" with more at its end", changed)
		}
		changed := maps.Clone(x.files)
		delete(changed, name)
		bad("without "+name, changed)
		for _, with := range names {
			if with == name {
				continue
			}
			changed := maps.Clone(x.files)
			changed[name], changed[with] = x.files[with], x.files[name]
			bad(name+" and "+with+" exchanged", changed)
		}
	}
	changed := maps.Clone(x.files)
	changed["notes.txt"] = &fstest.MapFile{Data: []byte("hello")}
	bad("another file", changed)
	bad("signed by somebody else", other.files)
	if got := other.check(t, other.files, other.verifier, x.verifier); got.Problems != nil {
		t.Errorf("with both keys: %v", got.Problems)
	}
}

// TestForgedExport is rewritten whole by somebody who knows the format and has no
// key: every hash agrees, and only the signature tells. Rows 21 and 36 of the
// table of attacks.
func TestForgedExport(t *testing.T) {
	t.Parallel()
	x, forged := export(t, 0, 6, 5), export(t, 0, 6)
	if got := x.check(t, forged.files); got.Problems != nil {
		t.Fatalf("a forgery that agrees with itself: %v", got.Problems)
	}
	if got := x.check(t, forged.files, x.verifier); !slices.Contains(got.Problems, "no checkpoint of the export is signed by the key that was given") {
		t.Errorf("a forgery without signatures: %v", got.Problems)
	}
	// The record of a prune is forged along with the manifest that has it.
	x = export(t, 3, 8, 5)
	var m map[string]any
	if err := json.Unmarshal(x.files["manifest.json"].Data, &m); err != nil {
		t.Fatal(err)
	}
	edge, err := hex.DecodeString(m["pruned"].(map[string]any)["edge"].(string))
	if err != nil {
		t.Fatal(err)
	}
	edge[3] ^= 1
	text := strings.Replace(string(x.files["manifest.json"].Data), m["pruned"].(map[string]any)["edge"].(string), hex.EncodeToString(edge), 1)
	x.files["manifest.json"] = &fstest.MapFile{Data: []byte(text)}
	got := x.check(t, x.files, x.verifier)
	for _, want := range []string{
		"entry 7: log_prunes is not what this entry says of the prune",
		"entry 7: log_head.root is not the root of the tree over the entries",
		"checkpoint of 5 entries: the entries give another origin or root",
	} {
		if !slices.Contains(got.Problems, want) {
			t.Errorf("a forged prune: found %v, not %s", got.Problems, want)
		}
	}
}

// TestExportReads looks at what people read.
func TestExportReads(t *testing.T) {
	t.Parallel()
	x := export(t, 0, 4)
	var rows []map[string]any
	if err := json.Unmarshal(x.files["entries.json"].Data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || rows[1]["actor"] != "=who1" || rows[3]["seq"] != 3.0 || rows[0]["rows_root"] != nil || len(rows[0]) != 26 {
		t.Errorf("entries.json: %v", rows)
	}
	if text := string(x.files["entries.csv"].Data); !strings.Contains(text, ",'=who1,") || !strings.HasPrefix(text, "seq,logged_at,") || strings.Count(text, "\n") != 5 {
		t.Errorf("entries.csv:\n%s", text)
	}
}
