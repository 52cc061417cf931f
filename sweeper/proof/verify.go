package proof

import (
	"bytes"
	"fmt"
)

// Problem is one thing that is wrong with the log, and the entry that it was
// found at.
type Problem struct {
	Seq  int64
	Text string
}

// Head is the row of sweeper.log_head: how far the log goes and what its chain
// and tree are there. Hashes are the tree's edge, 32 bytes each, one after the
// other.
type Head struct {
	Size      int64
	ChainHash []byte
	Hashes    []byte
	Root      []byte
}

// Verifier checks a log as a stream, in memory that does not grow with it.
// Feed it every entry in the order of (seq, logged_at), then compare with the
// head. It trusts nothing but the entries' own fields: leaf hashes and links
// are computed anew. Function sweeper.verify_chain finds the same problems in
// the same words. A Verifier is not safe for concurrent use.
type Verifier struct {
	first int64 // seq of the first entry that is due: those before were pruned
	tree  Tree
	last  int64    // seq of the entry before, -1 at the start
	chain [32]byte // its stored chain hash
	leaf  []byte   // scratch
}

// NewVerifier returns a Verifier for a log that starts with entry 0.
func NewVerifier() *Verifier {
	return &Verifier{last: -1}
}

// NewVerifierAfter returns a Verifier for a log of which the first entries were
// pruned: tree is the one over them, chain the chain hash of the last of them.
// Both are as good as the place that they come from.
func NewVerifierAfter(tree *Tree, chain [32]byte) *Verifier {
	return &Verifier{first: int64(tree.Size()), tree: *tree.Clone(), last: int64(tree.Size()) - 1, chain: chain}
}

// Add checks the next entry and returns what is wrong with it, nil when
// nothing is. Each problem is told once, where it is: an entry is compared
// with the stored hashes of the one before, so that one bad entry does not
// make all that follow look bad.
func (v *Verifier) Add(e *Entry) []Problem {
	var err error
	if v.leaf, err = e.appendLeaf(v.leaf[:0]); err != nil {
		return append([]Problem{{e.Seq, err.Error()}}, v.AddLeaf(e.Seq, nil, e.LeafHash, e.ChainHash)...)
	}
	return v.AddLeaf(e.Seq, v.leaf, e.LeafHash, e.ChainHash)
}

// AddLeaf is Add of an entry whose leaf somebody else made from its fields. With
// a nil leaf its fields are not looked at, and its leaf hash is believed.
func (v *Verifier) AddLeaf(seq int64, leaf, leafHash, chainHash []byte) []Problem {
	var problems []Problem
	found := func(seq int64, format string, args ...any) {
		problems = append(problems, Problem{Seq: seq, Text: fmt.Sprintf(format, args...)})
	}
	follows := v.follows(seq, found)
	var hash [32]byte
	if leaf != nil {
		if hash = HashLeaf(leaf); !bytes.Equal(leafHash, hash[:]) {
			found(seq, "leaf_hash differs from the entry's fields")
		}
	}
	if len(leafHash) == len(hash) {
		hash = [32]byte(leafHash)
	}
	if follows {
		if want := Chain(v.chain, hash); !bytes.Equal(chainHash, want[:]) {
			found(seq, "chain_hash does not follow from the entry before")
		}
	}
	v.tree.Append(hash)
	if seq >= v.last { // else it stands where it does not belong, and the next one follows v.last
		v.last = seq
		v.chain = [32]byte{}
		copy(v.chain[:], chainHash)
	}
	return problems
}

// follows tells whether seq is the next one, and reports what it is otherwise.
// Only then is the entry before known, and with it what the chain must be.
func (v *Verifier) follows(seq int64, found func(seq int64, format string, args ...any)) bool {
	switch {
	case seq < v.first:
		found(seq, "entry %d stands before entry %d", seq, v.first)
	case seq == v.last:
		found(seq, "entry %d occurs more than once", seq)
	case seq < v.last:
		found(seq, "entry %d stands after entry %d", seq, v.last)
	case seq-1 == v.last+1:
		found(v.last+1, "entry %d is missing", v.last+1)
	case seq-1 > v.last:
		found(v.last+1, "entries %d to %d are missing", v.last+1, seq-1)
	default:
		return true
	}
	return false
}

// Tree returns the tree over the stored leaf hashes so far. It belongs to the
// Verifier: do not append to it.
func (v *Verifier) Tree() *Tree { return &v.tree }

// Chain returns the stored chain hash of the last entry, 32 zero bytes at the
// start.
func (v *Verifier) Chain() [32]byte { return v.chain }

// Compare returns where the entries seen differ from the head. This is what
// finds entries cut off at the end. The head is as good as the place that it
// was kept in: a superuser of the database can rewrite it with the log.
func (v *Verifier) Compare(h Head) []Problem {
	size := int64(v.tree.size)
	if h.Size != size {
		return []Problem{{
			Seq:  min(h.Size, size),
			Text: fmt.Sprintf("log_head counts %d entries and the log has %d", h.Size, size),
		}}
	}
	var problems []Problem
	differs := func(what string) {
		problems = append(problems, Problem{Seq: v.last, Text: what})
	}
	if !bytes.Equal(h.ChainHash, v.chain[:]) {
		differs("log_head.chain_hash is not that of the last entry")
	}
	if root := v.tree.Root(); !bytes.Equal(h.Root, root[:]) {
		differs("log_head.root is not the root of the tree over the entries")
	}
	if !bytes.Equal(h.Hashes, bytes.Join(v.tree.Hashes(), nil)) {
		differs("log_head.hashes are not the edge of the tree over the entries")
	}
	return problems
}
