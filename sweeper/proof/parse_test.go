package proof_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// TestParseLeafReadsWhatLeafWrites goes over the golden vectors: each reads back
// into an entry that gives the same bytes, and no beginning of it reads at all.
func TestParseLeafReadsWhatLeafWrites(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t).Leaves {
		e, err := proof.ParseLeaf(v.Leaf)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		again, err := e.Leaf()
		if err != nil || !bytes.Equal(again, v.Leaf) {
			t.Errorf("%s: it reads into another entry (%v)", v.Name, err)
		}
		if diff := cmp.Diff(v.Entry.entry(t).Columns, e.Columns); diff != "" {
			t.Errorf("%s: columns (-want +got):\n%s", v.Name, diff)
		}
		for n := range v.Leaf {
			if _, err := proof.ParseLeaf(v.Leaf[:n]); err == nil {
				t.Errorf("%s: its first %d bytes read as a leaf", v.Name, n)
			}
		}
		if _, err := proof.ParseLeaf(append(bytes.Clone(v.Leaf), 0)); err == nil {
			t.Errorf("%s: it reads with a byte behind it", v.Name)
		}
	}
}

// FuzzParseLeaf: what reads is written again as it was.
func FuzzParseLeaf(f *testing.F) {
	for _, v := range vectors(f).Leaves {
		f.Add([]byte(v.Leaf))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := proof.ParseLeaf(b)
		if err != nil {
			return
		}
		if again, err := e.Leaf(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x reads into an entry of the leaf %x (%v)", b, again, err)
		}
	})
}

// TestJoinIsAppending cuts logs at multiples of a power of two, takes a tree over
// each piece, and joins them.
func TestJoinIsAppending(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		piece := uint64(1) << r.IntN(6)
		n := r.Uint64N(300)
		var whole, joined proof.Tree
		for begin := uint64(0); begin < n; begin += piece {
			var part proof.Tree
			for i := begin; i < min(n, begin+piece); i++ {
				hash := proof.HashLeaf([]byte{byte(i), byte(i >> 8)})
				whole.Append(hash)
				part.Append(hash)
			}
			if err := joined.Join(&part); err != nil {
				t.Fatal(err)
			}
		}
		if joined.Root() != whole.Root() || joined.Size() != whole.Size() {
			t.Fatalf("%d leaves in pieces of %d give another tree", n, piece)
		}
	}
	var odd, two proof.Tree
	odd.Append([32]byte{})
	two.Append([32]byte{})
	two.Append([32]byte{})
	if err := odd.Join(&two); err == nil {
		t.Error("a subtree of two is joined at an odd place")
	}
}

// TestPruneRecordIsChecked changes each part of the record of a prune.
func TestPruneRecordIsChecked(t *testing.T) {
	t.Parallel()
	var tree proof.Tree
	for i := range 5 {
		tree.Append(proof.HashLeaf([]byte{byte(i)}))
	}
	chain := proof.HashLeaf(nil)
	origin := proof.Origin(chain)
	record := func() *proof.Prune {
		return &proof.Prune{Size: 5, ChainHash: bytes.Clone(chain[:]), Hashes: bytes.Join(tree.Hashes(), nil), EntrySeq: 9, Origin: origin}
	}
	said := record().Reference("7 years are over; of sweeper/purge-log/00000000000000000000000000000000; digest x")
	e := &proof.Entry{Seq: 9, Kind: proof.KindPrune, Reference: &said}
	if got := proof.PrunedOrigin(said); got != origin {
		t.Errorf("the origin reads as %q", got)
	}
	if problems := record().Check(e); problems != nil {
		t.Errorf("the record as it was: %v", problems)
	}
	for name, change := range map[string]func(p *proof.Prune){
		"size":   func(p *proof.Prune) { p.Size = 6 },
		"chain":  func(p *proof.Prune) { p.ChainHash[3] ^= 1 },
		"edge":   func(p *proof.Prune) { p.Hashes[40] ^= 1 },
		"origin": func(p *proof.Prune) { p.Origin = proof.Origin([32]byte{}) },
	} {
		p := record()
		if change(p); p.Check(e) == nil {
			t.Errorf("another %s is not noticed", name)
		}
	}
	if record().Check(&proof.Entry{Seq: 9, Kind: "delete", Reference: &said}) == nil {
		t.Error("an entry of another kind is taken for the prune's")
	}
	if _, err := (&proof.Prune{Size: 5, ChainHash: chain[:], Hashes: chain[:7]}).Verifier(); err == nil {
		t.Error("half a hash is taken for an edge")
	}
}

func vectors(t testing.TB) leafVectors {
	t.Helper()
	var v leafVectors
	readJSON(t, "testdata/leaf_v1.json", &v)
	return v
}
