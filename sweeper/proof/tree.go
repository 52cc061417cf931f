package proof

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"slices"
)

// Tree is an RFC 6962 Merkle tree that grows at its right edge and keeps only
// the edge: the roots of the perfect subtrees that its size is made of, one
// per bit that is set in the size, left to right. Appending and taking the
// root allocate nothing. A Tree is not safe for concurrent use. The zero Tree
// is empty.
type Tree struct {
	size  uint64
	nodes [][32]byte
}

// NewTree takes up a tree of size leaves again. hashes are what Hashes gave at
// that size, and their number is checked; nil for size 0.
func NewTree(size uint64, hashes [][]byte) (*Tree, error) {
	if want := bits.OnesCount64(size); len(hashes) != want {
		return nil, fmt.Errorf("take up a tree of %d leaves: got %d hashes, want %d", size, len(hashes), want)
	}
	t := &Tree{size: size, nodes: make([][32]byte, len(hashes), 64)}
	for i, h := range hashes {
		if len(h) != sha256.Size {
			return nil, fmt.Errorf("take up a tree of %d leaves: hash %d has %d bytes, want %d", size, i, len(h), sha256.Size)
		}
		t.nodes[i] = [32]byte(h)
	}
	return t, nil
}

// ReadTree is NewTree with the hashes one after the other, as sweeper.log_head
// keeps them.
func ReadTree(size uint64, edge []byte) (*Tree, error) {
	var hashes [][]byte
	for h := range slices.Chunk(edge, sha256.Size) {
		hashes = append(hashes, h)
	}
	return NewTree(size, hashes)
}

// Clone returns a copy that grows apart from t.
func (t *Tree) Clone() *Tree {
	return &Tree{size: t.size, nodes: append(make([][32]byte, 0, 64), t.nodes...)}
}

// Append adds a leaf by its hash (see HashLeaf). As in a binary counter, each
// subtree at the edge that is as large as the new one merges with it.
func (t *Tree) Append(leafHash [32]byte) { t.append(leafHash, nil) }

// append shows each node that it completes, the leaf among them, to see, by
// level from 0 and index within the level.
func (t *Tree) append(leafHash [32]byte, see func(level uint, index uint64, hash [32]byte)) {
	last, level, s := len(t.nodes), uint(0), t.size
	for ; ; level, s = level+1, s>>1 {
		if see != nil {
			see(level, s, leafHash)
		}
		if s&1 == 0 {
			break
		}
		last--
		leafHash = hashNode(&t.nodes[last], &leafHash)
	}
	t.nodes = append(t.nodes[:last], leafHash)
	t.size++
}

// Join adds the leaves of another tree behind those of t, without seeing them.
// It is an error unless t's size is a multiple of each perfect subtree of it:
// of 2^n when it has up to 2^n leaves.
func (t *Tree) Join(other *Tree) error {
	size := other.size
	for _, node := range other.nodes {
		level := uint(bits.Len64(size) - 1)
		if t.size&(1<<level-1) != 0 {
			return fmt.Errorf("join a tree of %d leaves to one of %d: they do not meet at a subtree", other.size, t.size)
		}
		last := len(t.nodes)
		for s := t.size >> level; s&1 == 1; s >>= 1 {
			last--
			node = hashNode(&t.nodes[last], &node)
		}
		t.nodes = append(t.nodes[:last], node)
		t.size += 1 << level
		size -= 1 << level
	}
	return nil
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Root returns the tree's root hash; that of the empty tree is SHA-256 of
// nothing.
func (t *Tree) Root() [32]byte {
	if len(t.nodes) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.nodes[len(t.nodes)-1]
	for i := len(t.nodes) - 2; i >= 0; i-- {
		root = hashNode(&t.nodes[i], &root)
	}
	return root
}

// Hashes returns a copy of the edge, left to right: what NewTree needs to go
// on, and, one after the other, ReadTree.
func (t *Tree) Hashes() [][]byte {
	hashes := make([][]byte, len(t.nodes))
	for i := range t.nodes {
		hashes[i] = append([]byte(nil), t.nodes[i][:]...)
	}
	return hashes
}

// Rows takes the root over the row commitments of one entry, in the order of
// the write-ahead log. It holds no commitment, so ten million cost no more
// memory than ten. The zero Rows is empty; Reset makes it so again.
type Rows struct {
	tree Tree
}

// Add adds the next row's commitment. The leaf is SHA-256(0x00 ‖ commitment).
func (r *Rows) Add(commitment [32]byte) {
	var buf [33]byte
	buf[0] = leafPrefix
	copy(buf[1:], commitment[:])
	r.tree.Append(sha256.Sum256(buf[:]))
}

// Root returns what the entry has as rows_root.
func (r *Rows) Root() [32]byte { return r.tree.Root() }

// Count returns the number of commitments, which the entry has as row_count.
func (r *Rows) Count() int64 { return int64(r.tree.size) }

// Reset empties r and keeps its memory for the next entry.
func (r *Rows) Reset() {
	r.tree.size, r.tree.nodes = 0, r.tree.nodes[:0]
}
