package proof

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Path collects the hashes of an RFC 6962 proof while the tree's leaf hashes go
// by in order: memory is that of the proof, whatever the size of the log. A
// Path is not safe for concurrent use.
type Path struct {
	nodes  merkle.Nodes
	hashes [][]byte // of nodes.IDs, nil where not yet seen
	at     map[compact.NodeID]int
	tree   Tree
	size   uint64
}

// NewInclusion begins the proof that a leaf, by its index, is in the tree of
// so many leaves.
func NewInclusion(index, size uint64) (*Path, error) {
	nodes, err := merkle.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d in a tree of %d: %w", index, size, err)
	}
	return newPath(nodes, size), nil
}

// NewConsistency begins the proof that the tree of so many leaves is the older
// one with leaves added at its end.
func NewConsistency(older, size uint64) (*Path, error) {
	nodes, err := merkle.Consistency(older, size)
	if err != nil {
		return nil, fmt.Errorf("prove a tree of %d to be the beginning of one of %d: %w", older, size, err)
	}
	return newPath(nodes, size), nil
}

func newPath(nodes merkle.Nodes, size uint64) *Path {
	p := &Path{nodes: nodes, hashes: make([][]byte, len(nodes.IDs)), at: map[compact.NodeID]int{}, size: size}
	for i, id := range nodes.IDs {
		p.at[id] = i
	}
	return p
}

// Skip begins behind a tree's first leaves, known by its edge (see
// [Tree.Hashes]): those of a log that was pruned. It comes before the first Add.
// A proof that needs a hash from inside what was skipped cannot be made, and
// Hashes says so.
func (p *Path) Skip(t *Tree) {
	p.tree = *t.Clone()
	for i, id := range compact.RangeNodes(0, t.Size(), nil) {
		p.see(id.Level, id.Index, t.nodes[i])
	}
}

// Add takes the next leaf hash. Those past the tree's size are ignored.
func (p *Path) Add(leafHash [32]byte) {
	if p.tree.size < p.size {
		p.tree.append(leafHash, p.see)
	}
}

func (p *Path) see(level uint, index uint64, hash [32]byte) {
	if i, ok := p.at[compact.NewNodeID(level, index)]; ok {
		p.hashes[i] = append([]byte(nil), hash[:]...)
	}
}

// Root is the root of the tree that the proof speaks of, once all its leaves
// have gone by.
func (p *Path) Root() [32]byte { return p.tree.Root() }

// Hashes returns the proof, once all leaves of the tree have gone by.
func (p *Path) Hashes() ([][]byte, error) {
	if p.tree.size != p.size {
		return nil, fmt.Errorf("prove something in a tree of %d: only %d leaves were seen", p.size, p.tree.size)
	}
	for i, h := range p.hashes {
		if h == nil {
			id := p.nodes.IDs[i]
			return nil, fmt.Errorf("prove something in a tree of %d: the hash of node %d of level %d lies in what was pruned", p.size, id.Index, id.Level)
		}
	}
	return p.nodes.Rehash(append([][]byte(nil), p.hashes...), rfc6962.DefaultHasher.HashChildren)
}

// CheckInclusion tells whether path proves that the leaf with this hash is in
// the tree of size leaves with this root, at index.
func CheckInclusion(index, size uint64, leafHash [32]byte, path [][]byte, root [32]byte) error {
	if err := merkle.VerifyInclusion(rfc6962.DefaultHasher, index, size, leafHash[:], path, root[:]); err != nil {
		return fmt.Errorf("entry %d is not proved to be in the tree of %d: %w", index, size, plainly(err))
	}
	return nil
}

// CheckConsistency tells whether path proves that the tree of size leaves with
// root is the older one with leaves added at its end.
func CheckConsistency(older, size uint64, path [][]byte, olderRoot, root [32]byte) error {
	if older == 0 {
		return nil // the empty tree is the beginning of every tree
	}
	if err := merkle.VerifyConsistency(rfc6962.DefaultHasher, older, size, path, olderRoot[:], root[:]); err != nil {
		return fmt.Errorf("the tree of %d is not proved to be the beginning of the one of %d: %w", older, size, plainly(err))
	}
	return nil
}

// errRoot stands for an error that spells out two roots, byte by byte.
var errRoot = errors.New("the path leads to another root")

func plainly(err error) error {
	if mismatch := (merkle.RootMismatchError{}); errors.As(err, &mismatch) {
		return errRoot
	}
	return err
}
