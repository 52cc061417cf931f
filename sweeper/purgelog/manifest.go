package purgelog

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// whole tells that a stamp is of a partition that goes whole. The stream shows
// nothing of that but what the transaction says of it.
func (s *stamp) whole() bool { return s.kind == "drop_partition" || s.kind == "detach_partition" }

// manifest makes the commitments of a partition's rows from the keys that the
// transaction showed, which is how the key of the commitments stays away from the
// server. Keys that belong to no such partition are said and not taken.
func (a *appending) manifest(ctx context.Context, c Change) error {
	if a.stamp == nil || !a.stamp.whole() {
		e := a.entry("mismatch", relation{})
		e.Reason, e.Reference = nil, text("a manifest in a transaction whose stamp names no partition")
		if !slices.ContainsFunc(a.after, func(o proof.Entry) bool { return o.Kind == e.Kind && value(o.Reference) == *e.Reference }) {
			a.after = append(a.after, e)
		}
		return nil
	}
	g := a.group(relation{root: value(a.stamp.relation), leaf: value(a.stamp.partition)}, a.stamp.kind, false)
	return a.commit(ctx, g, c.Rows.Len(), func(i int) ([]byte, error) {
		v, _ := c.Rows.Value(i, "key")
		key, err := hex.DecodeString(strings.TrimPrefix(v, `\x`))
		if err != nil || len(key) == 0 {
			return nil, errors.New("read column key of sweeper.manifest from the stream: unexpected form")
		}
		return key, nil
	})
}

// manifested tells that the transaction showed keys of the partition that s is
// about, so that its entry is made from them.
func (a *appending) manifested(s *stamp) bool {
	return slices.ContainsFunc(a.groups, func(g *group) bool { return g.kind == s.kind && g.leaf == value(s.partition) })
}
