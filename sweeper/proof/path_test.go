package proof_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// twin is a tree of another implementation beside the leaf hashes.
type twin struct {
	leaves [][32]byte
	stored []tlog.Hash
}

func newTwin(t *testing.T, n int) *twin {
	t.Helper()
	w := &twin{}
	for i := range n {
		w.leaves = append(w.leaves, proof.HashLeaf(leafData(i)))
		hashes, err := tlog.StoredHashes(int64(i), leafData(i), w)
		if err != nil {
			t.Fatal(err)
		}
		w.stored = append(w.stored, hashes...)
	}
	return w
}

// ReadHashes makes twin a tlog.HashReader.
func (w *twin) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, i := range indexes {
		hashes = append(hashes, w.stored[i])
	}
	return hashes, nil
}

func (w *twin) root(t *testing.T, n int) [32]byte {
	t.Helper()
	root, err := tlog.TreeHash(int64(n), w)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// walk gives the path all leaves from one on, behind the edge of those before.
func (w *twin) walk(t *testing.T, p *proof.Path, from int) ([][]byte, error) {
	t.Helper()
	if from > 0 {
		var edge proof.Tree
		for _, leaf := range w.leaves[:from] {
			edge.Append(leaf)
		}
		p.Skip(&edge)
	}
	for _, leaf := range w.leaves[from:] {
		p.Add(leaf)
	}
	return p.Hashes()
}

func TestInclusionEqualsOthers(t *testing.T) {
	t.Parallel()
	const last = 70
	w := newTwin(t, last)
	for size := 1; size <= last; size++ {
		root := w.root(t, size)
		for index := range size {
			p, err := proof.NewInclusion(uint64(index), uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			path, err := w.walk(t, p, 0)
			if err != nil {
				t.Fatal(err)
			}
			other := tlog.RecordProof{}
			for _, h := range path {
				other = append(other, tlog.Hash(h))
			}
			if err := tlog.CheckRecord(other, int64(size), tlog.Hash(root), int64(index), tlog.Hash(w.leaves[index])); err != nil {
				t.Fatalf("leaf %d of %d: x/mod tlog refuses the proof: %v", index, size, err)
			}
			theirs, err := tlog.ProveRecord(int64(size), int64(index), w)
			if err != nil {
				t.Fatal(err)
			}
			for i := range theirs {
				if !slices.Equal(theirs[i][:], path[i]) {
					t.Fatalf("leaf %d of %d: hash %d of the proof differs from x/mod tlog's", index, size, i)
				}
			}
			if err := proof.CheckInclusion(uint64(index), uint64(size), w.leaves[index], path, root); err != nil {
				t.Fatal(err)
			}
			if p.Root() != root {
				t.Fatalf("the path's root at %d differs", size)
			}
			if err := proof.CheckInclusion(uint64(index), uint64(size), w.leaves[(index+1)%last], path, root); err == nil {
				t.Fatalf("leaf %d of %d: another leaf passes", index, size)
			}
			for i := range path {
				path[i][i%32] ^= 1
				if err := proof.CheckInclusion(uint64(index), uint64(size), w.leaves[index], path, root); err == nil {
					t.Fatalf("leaf %d of %d: a changed hash %d passes", index, size, i)
				}
				path[i][i%32] ^= 1
			}
		}
	}
}

func TestConsistencyEqualsOthers(t *testing.T) {
	t.Parallel()
	const last = 70
	w := newTwin(t, last)
	for size := 1; size <= last; size++ {
		for older := 1; older <= size; older++ {
			p, err := proof.NewConsistency(uint64(older), uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			path, err := w.walk(t, p, 0)
			if err != nil {
				t.Fatal(err)
			}
			theirs := tlog.TreeProof{}
			for _, h := range path {
				theirs = append(theirs, tlog.Hash(h))
			}
			if err := tlog.CheckTree(theirs, int64(size), tlog.Hash(w.root(t, size)), int64(older), tlog.Hash(w.root(t, older))); err != nil {
				t.Fatalf("%d in %d: x/mod tlog refuses the proof: %v", older, size, err)
			}
			if err := proof.CheckConsistency(uint64(older), uint64(size), path, w.root(t, older), w.root(t, size)); err != nil {
				t.Fatal(err)
			}
			if older < size {
				if err := proof.CheckConsistency(uint64(older), uint64(size), path, w.root(t, older-1), w.root(t, size)); err == nil {
					t.Fatalf("%d in %d: another older root passes", older, size)
				}
			}
		}
	}
}

// TestSurvivorsOfAPruneAreProved prunes at random places: every survivor and
// every two sizes from there on are proved with nothing but the edge.
func TestSurvivorsOfAPruneAreProved(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	const last = 300
	w := newTwin(t, last)
	for range 300 {
		pruned := 1 + random.IntN(last-1)
		index := pruned + random.IntN(last-pruned)
		p, err := proof.NewInclusion(uint64(index), last)
		if err != nil {
			t.Fatal(err)
		}
		path, err := w.walk(t, p, pruned)
		if err != nil {
			t.Fatalf("seed %d: pruned %d, entry %d: %v", seed, pruned, index, err)
		}
		if err := proof.CheckInclusion(uint64(index), last, w.leaves[index], path, w.root(t, last)); err != nil {
			t.Fatalf("seed %d: pruned %d: %v", seed, pruned, err)
		}
		older := pruned + random.IntN(last-pruned+1)
		if p, err = proof.NewConsistency(uint64(older), last); err != nil {
			t.Fatal(err)
		}
		if path, err = w.walk(t, p, pruned); err != nil {
			t.Fatalf("seed %d: pruned %d, older %d: %v", seed, pruned, older, err)
		}
		if err := proof.CheckConsistency(uint64(older), last, path, w.root(t, older), w.root(t, last)); err != nil {
			t.Fatalf("seed %d: pruned %d: %v", seed, pruned, err)
		}
	}
}

func TestPrunedEntryIsNotProved(t *testing.T) {
	t.Parallel()
	w := newTwin(t, 20)
	p, err := proof.NewInclusion(3, 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.walk(t, p, 7); err == nil || !strings.Contains(err.Error(), "lies in what was pruned") {
		t.Errorf("got error %v", err)
	}
}

func TestPathRefuses(t *testing.T) {
	t.Parallel()
	if _, err := proof.NewInclusion(5, 5); err == nil {
		t.Error("a leaf behind the end is proved")
	}
	if _, err := proof.NewConsistency(6, 5); err == nil {
		t.Error("a larger tree is proved to be the beginning")
	}
	p, err := proof.NewInclusion(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	p.Add(proof.HashLeaf(leafData(0)))
	if _, err := p.Hashes(); err == nil || err.Error() != "prove something in a tree of 2: only 1 leaves were seen" {
		t.Errorf("got error %v", err)
	}
}
