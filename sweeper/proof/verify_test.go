package proof_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// newLog returns a whole log of n entries and its head.
func newLog(t testing.TB, n int) ([]*proof.Entry, proof.Head) {
	t.Helper()
	var tree proof.Tree
	chain := [32]byte{}
	entries := make([]*proof.Entry, n)
	for i := range entries {
		e := full()
		e.Seq, e.Reference = int64(i), ptr(fmt.Sprintf("TICKET-%d", i))
		e.LoggedAt = e.LoggedAt.Add(time.Duration(i) * time.Millisecond)
		seal(t, e, chain)
		chain = [32]byte(e.ChainHash)
		tree.Append([32]byte(e.LeafHash))
		entries[i] = e
	}
	root := tree.Root()
	return entries, proof.Head{Size: int64(n), ChainHash: chain[:], Hashes: slices.Concat(tree.Hashes()...), Root: root[:]}
}

// seal computes the hashes of an entry after one whose chain hash was prev.
func seal(t testing.TB, e *proof.Entry, prev [32]byte) {
	t.Helper()
	leaf := proof.HashLeaf([]byte(mustLeaf(t, e)))
	chain := proof.Chain(prev, leaf)
	e.LeafHash, e.ChainHash = leaf[:], chain[:]
}

func verify(entries []*proof.Entry, head proof.Head) []proof.Problem {
	v := proof.NewVerifier()
	var problems []proof.Problem
	for _, e := range entries {
		problems = append(problems, v.Add(e)...)
	}
	return append(problems, v.Compare(head)...)
}

func TestVerifierFindsNothingInAWholeLog(t *testing.T) {
	t.Parallel()
	for n := range 70 {
		if problems := verify(newLog(t, n)); problems != nil {
			t.Errorf("%d entries: got %v, want none", n, problems)
		}
	}
}

func TestVerifierFinds(t *testing.T) {
	t.Parallel()
	const (
		leaf  = "leaf_hash differs from the entry's fields"
		chain = "chain_hash does not follow from the entry before"
		root  = "log_head.root is not the root of the tree over the entries"
		edge  = "log_head.hashes are not the edge of the tree over the entries"
		end   = "log_head.chain_hash is not that of the last entry"
	)
	type log = []*proof.Entry
	tests := []struct {
		name   string
		tamper func(l log, h *proof.Head) log
		want   []proof.Problem
	}{
		{"a changed field", func(l log, _ *proof.Head) log {
			l[5].Tenant = nil
			return l
		}, []proof.Problem{{5, leaf}}},
		{"a changed field with its leaf hash", func(l log, _ *proof.Head) log {
			l[5].Tenant = nil
			old := l[5].ChainHash
			seal(t, l[5], [32]byte(l[4].ChainHash))
			l[5].ChainHash = old
			return l
		}, []proof.Problem{{5, chain}, {9, root}, {9, edge}}},
		{"a changed field with its leaf and chain hash", func(l log, _ *proof.Head) log {
			l[5].Tenant = nil
			seal(t, l[5], [32]byte(l[4].ChainHash))
			return l
		}, []proof.Problem{{6, chain}, {9, root}, {9, edge}}},
		{"a changed field and all hashes after it", func(l log, _ *proof.Head) log {
			l[5].Tenant = nil
			for i := 5; i < len(l); i++ {
				seal(t, l[i], [32]byte(l[i-1].ChainHash))
			}
			return l
		}, []proof.Problem{{9, end}, {9, root}, {9, edge}}},
		{"a changed chain hash", func(l log, _ *proof.Head) log {
			l[5].ChainHash = slices.Clone(l[5].ChainHash)
			l[5].ChainHash[31] ^= 1
			return l
		}, []proof.Problem{{5, chain}, {6, chain}}},
		{"the first chain hash not from zeros", func(l log, _ *proof.Head) log {
			seal(t, l[0], [32]byte{1})
			return l
		}, []proof.Problem{{0, chain}, {1, chain}}},
		{"short hashes", func(l log, _ *proof.Head) log {
			l[5].LeafHash, l[8].ChainHash = l[5].LeafHash[:31], nil
			return l
		}, []proof.Problem{{5, leaf}, {8, chain}, {9, chain}}},
		{"a leaf too long", func(l log, _ *proof.Head) log {
			l[5].Columns = make([]string, proof.MaxLeaf/4)
			return l
		}, []proof.Problem{{5, "encode entry 5: its leaf has 65860 bytes and may have 65535: shorten its texts"}}},
		{"two entries exchanged", func(l log, _ *proof.Head) log {
			l[5], l[6] = l[6], l[5]
			return l
		}, []proof.Problem{{5, "entry 5 is missing"}, {5, "entry 5 stands after entry 6"}, {9, root}, {9, edge}}},
		{"the contents of two entries exchanged", func(l log, _ *proof.Head) log {
			l[5], l[6] = l[6], l[5]
			l[5].Seq, l[6].Seq = 5, 6
			return l
		}, []proof.Problem{{5, leaf}, {5, chain}, {6, leaf}, {6, chain}, {7, chain}, {9, root}, {9, edge}}},
		{"one entry dropped", func(l log, _ *proof.Head) log {
			return slices.Delete(l, 5, 6)
		}, []proof.Problem{{5, "entry 5 is missing"}, {9, "log_head counts 10 entries and the log has 9"}}},
		{"some entries dropped", func(l log, _ *proof.Head) log {
			return slices.Delete(l, 2, 5)
		}, []proof.Problem{{2, "entries 2 to 4 are missing"}, {7, "log_head counts 10 entries and the log has 7"}}},
		{"the first entry dropped", func(l log, _ *proof.Head) log {
			return l[1:]
		}, []proof.Problem{{0, "entry 0 is missing"}, {9, "log_head counts 10 entries and the log has 9"}}},
		{"an entry twice", func(l log, _ *proof.Head) log {
			return slices.Insert(l, 5, l[5])
		}, []proof.Problem{{5, "entry 5 occurs more than once"}, {10, "log_head counts 10 entries and the log has 11"}}},
		{"an entry before the first", func(l log, _ *proof.Head) log {
			e := *l[0]
			e.Seq = -3
			return slices.Insert(l, 0, &e)
		}, []proof.Problem{{-3, "entry -3 stands before entry 0"}, {-3, leaf}, {10, "log_head counts 10 entries and the log has 11"}}},
		{"the end cut off", func(l log, _ *proof.Head) log {
			return l[:7]
		}, []proof.Problem{{7, "log_head counts 10 entries and the log has 7"}}},
		{"everything gone", func(log, *proof.Head) log {
			return nil
		}, []proof.Problem{{0, "log_head counts 10 entries and the log has 0"}}},
		{"one entry too many", func(l log, _ *proof.Head) log {
			e := *l[9]
			e.Seq = 10
			seal(t, &e, [32]byte(l[9].ChainHash))
			return append(l, &e)
		}, []proof.Problem{{10, "log_head counts 10 entries and the log has 11"}}},
		{"another head", func(l log, h *proof.Head) log {
			h.Root, h.Hashes, h.ChainHash = make([]byte, 32), nil, h.ChainHash[:31]
			return l
		}, []proof.Problem{{9, end}, {9, root}, {9, edge}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			entries, head := newLog(t, 10)
			entries = tt.tamper(entries, &head)
			if diff := cmp.Diff(tt.want, verify(entries, head)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVerifierFindsEveryByte flips each bit of the hashes of a short log.
func TestVerifierFindsEveryByte(t *testing.T) {
	t.Parallel()
	entries, head := newLog(t, 5)
	hashes := [][]byte{head.ChainHash, head.Hashes, head.Root}
	for i, e := range entries {
		e.LeafHash, e.ChainHash = slices.Clone(e.LeafHash), slices.Clone(e.ChainHash)
		hashes = append(hashes, e.LeafHash, entries[i].ChainHash)
	}
	for i, h := range hashes {
		for bit := range 8 * len(h) {
			h[bit/8] ^= 1 << (bit % 8)
			if verify(entries, head) == nil {
				t.Errorf("hash %d: bit %d was flipped and nothing was found", i, bit)
			}
			h[bit/8] ^= 1 << (bit % 8)
		}
	}
	if problems := verify(entries, head); problems != nil {
		t.Errorf("the log was left changed: %v", problems)
	}
}

func BenchmarkVerifier(b *testing.B) {
	entries, _ := newLog(b, 1000)
	v := proof.NewVerifier()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(entries) {
			v, i = proof.NewVerifier(), 0
		}
		if problems := v.Add(entries[i]); problems != nil {
			b.Fatal(problems)
		}
		i++
	}
}

func BenchmarkLeaf(b *testing.B) {
	e := full()
	b.ReportAllocs()
	for b.Loop() {
		leaf, err := e.Leaf()
		if err != nil {
			b.Fatal(err)
		}
		proof.HashLeaf(leaf)
	}
}
