package proof_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func leafData(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }

// peers are the two other implementations of the tree that ours must agree
// with, growing leaf by leaf.
type peers struct {
	t      *testing.T
	merkle *compact.Range
	stored []tlog.Hash
	size   int64
}

func newPeers(t *testing.T) *peers {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return &peers{t: t, merkle: factory.NewEmptyRange(0)}
}

func (p *peers) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = p.stored[index]
	}
	return hashes, nil
}

func (p *peers) append(data []byte) {
	p.t.Helper()
	if err := p.merkle.Append(rfc6962.DefaultHasher.HashLeaf(data), nil); err != nil {
		p.t.Fatal(err)
	}
	hashes, err := tlog.StoredHashes(p.size, data, p)
	if err != nil {
		p.t.Fatal(err)
	}
	p.stored = append(p.stored, hashes...)
	p.size++
}

// roots returns both implementations' root.
func (p *peers) roots() (merkle, sumdb [32]byte) {
	p.t.Helper()
	root := rfc6962.DefaultHasher.EmptyRoot()
	if p.size > 0 {
		var err error
		if root, err = p.merkle.GetRootHash(nil); err != nil {
			p.t.Fatal(err)
		}
	}
	hash, err := tlog.TreeHash(p.size, p)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.size == 0 { // tlog has no tree of size 0 and says zeros
		hash = tlog.Hash(rfc6962.DefaultHasher.EmptyRoot())
	}
	return [32]byte(root), hash
}

func TestTreeEqualsOthers(t *testing.T) {
	t.Parallel()
	others := newPeers(t)
	var tree proof.Tree
	for size := range 1001 {
		merkle, sumdb := others.roots()
		if got := tree.Root(); got != merkle || got != sumdb {
			t.Fatalf("size %d: got root %x, transparency-dev/merkle has %x, x/mod tlog %x", size, got, merkle, sumdb)
		}
		if tree.Size() != uint64(size) {
			t.Fatalf("got size %d, want %d", tree.Size(), size)
		}
		if !slices.EqualFunc(tree.Hashes(), others.merkle.Hashes(), bytes.Equal) {
			t.Fatalf("size %d: the edge differs from transparency-dev/merkle's", size)
		}
		tree.Append(proof.HashLeaf(leafData(size)))
		others.append(leafData(size))
	}
}

// TestTreeGoesOn takes the tree up at every size, and appends to it until the
// next powers of two are behind.
func TestTreeGoesOn(t *testing.T) {
	t.Parallel()
	const last = 300
	var tree proof.Tree
	roots := make([][32]byte, last+1)
	edges := make([][][]byte, last+1)
	for size := range last + 1 {
		roots[size], edges[size] = tree.Root(), tree.Hashes()
		tree.Append(proof.HashLeaf(leafData(size)))
	}
	for from := range last + 1 {
		again, err := proof.NewTree(uint64(from), edges[from])
		if err != nil {
			t.Fatal(err)
		}
		for size := from; size <= last; size++ {
			if again.Root() != roots[size] {
				t.Fatalf("taken up at %d, the root at %d differs", from, size)
			}
			again.Append(proof.HashLeaf(leafData(size)))
		}
	}
}

func TestNewTreeRefuses(t *testing.T) {
	t.Parallel()
	hash := make([]byte, 32)
	tests := []struct {
		size   uint64
		hashes [][]byte
		want   string
	}{
		{0, [][]byte{hash}, "take up a tree of 0 leaves: got 1 hashes, want 0"},
		{3, [][]byte{hash}, "take up a tree of 3 leaves: got 1 hashes, want 2"},
		{4, nil, "take up a tree of 4 leaves: got 0 hashes, want 1"},
		{5, [][]byte{hash, hash[:31]}, "take up a tree of 5 leaves: hash 1 has 31 bytes, want 32"},
	}
	for _, tt := range tests {
		if _, err := proof.NewTree(tt.size, tt.hashes); err == nil || err.Error() != tt.want {
			t.Errorf("got error %v, want %s", err, tt.want)
		}
	}
}

func TestTreeOwnsItsHashes(t *testing.T) {
	t.Parallel()
	var tree proof.Tree
	for i := range 7 {
		tree.Append(proof.HashLeaf(leafData(i)))
	}
	root, given := tree.Root(), tree.Hashes()
	again, err := proof.NewTree(7, given)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range given {
		clear(h)
	}
	if tree.Root() != root || again.Root() != root {
		t.Error("changing what Hashes returned changed a tree")
	}
}

// TestClonesGrowApart has two copies of a tree grow by different leaves.
func TestClonesGrowApart(t *testing.T) {
	t.Parallel()
	for size := range 70 {
		var tree, other proof.Tree
		for i := range size {
			tree.Append(proof.HashLeaf(leafData(i)))
			other.Append(proof.HashLeaf(leafData(i)))
		}
		clone := tree.Clone()
		if clone.Size() != tree.Size() || clone.Root() != tree.Root() {
			t.Fatalf("a copy of a tree of %d leaves is another", size)
		}
		for i := range 5 {
			tree.Append(proof.HashLeaf(leafData(size + i)))
			other.Append(proof.HashLeaf(leafData(size + i)))
			clone.Append(proof.HashLeaf(leafData(1000 + i)))
		}
		if tree.Root() != other.Root() {
			t.Errorf("a tree of %d leaves is another since its copy has grown", size)
		}
		if clone.Size() != tree.Size() || clone.Root() == tree.Root() {
			t.Errorf("the copy of a tree of %d leaves has not grown by itself", size)
		}
	}
}

// TestReadTreeTakesWholeHashes: a byte too much is as wrong as one too little.
func TestReadTreeTakesWholeHashes(t *testing.T) {
	t.Parallel()
	var tree proof.Tree
	for i := range 7 {
		tree.Append(proof.HashLeaf(leafData(i)))
	}
	edge := bytes.Join(tree.Hashes(), nil)
	again, err := proof.ReadTree(7, edge)
	if err != nil || again.Root() != tree.Root() {
		t.Errorf("read back: %v", err)
	}
	if empty, err := proof.ReadTree(0, nil); err != nil || empty.Root() != (&proof.Tree{}).Root() {
		t.Errorf("the empty tree: %v", err)
	}
	for _, bad := range [][]byte{edge[:95], edge[:64], append(bytes.Clone(edge), 0), nil} {
		if _, err := proof.ReadTree(7, bad); err == nil {
			t.Errorf("%d bytes are the edge of 7 leaves", len(bad))
		}
	}
}

func TestRowsEqualOthers(t *testing.T) {
	t.Parallel()
	others := newPeers(t)
	committer := proof.NewCommitter([]byte("0123456789abcdef0123456789abcdef"))
	var rows, reset proof.Rows
	for i := range 5 {
		reset.Add(proof.HashLeaf(leafData(i)))
	}
	reset.Reset()
	for size := range 1001 {
		merkle, sumdb := others.roots()
		if got := rows.Root(); got != merkle || got != sumdb || got != reset.Root() {
			t.Fatalf("%d rows: got root %x, after a reset %x, others have %x and %x", size, got, reset.Root(), merkle, sumdb)
		}
		if rows.Count() != int64(size) || reset.Count() != int64(size) {
			t.Fatalf("got counts %d and %d, want %d", rows.Count(), reset.Count(), size)
		}
		commitment := committer.Commit(rowID("kyc.applicants", [2]string{"id", fmt.Sprint(size)}))
		rows.Add(commitment)
		reset.Add(commitment)
		others.append(commitment[:])
	}
}

func BenchmarkTreeAppend(b *testing.B) {
	hash := proof.HashLeaf(nil)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		var tree proof.Tree
		for b.Loop() {
			tree.Append(hash)
		}
	})
	b.Run("transparency-dev", func(b *testing.B) {
		b.ReportAllocs()
		factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
		tree := factory.NewEmptyRange(0)
		for b.Loop() {
			if err := tree.Append(hash[:], nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
