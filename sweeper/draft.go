package sweeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	signed "golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper/anchor"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// checkpoint makes a checkpoint of what is in the log, if it has grown since
// the last one, and has each anchor hold the newest, which it returns; nil:
// nothing of the log is old enough for one. An anchor that cannot be reached is
// left out, and told in unanchored.
func (n *notary) checkpoint(ctx context.Context, conn *pgx.Conn) (made *draft, unanchored error, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*anchorTimeout)
	defer cancel()
	s, err := purgelog.Snap(ctx, conn)
	if err != nil {
		return nil, nil, err
	}
	defer func() { s.Close(ctx) }()
	if s.Size == 0 {
		return nil, nil, nil
	}
	st, err := n.agrees(ctx, s)
	n.health.agreed(n.now(), st.size(), err)
	if err != nil {
		return nil, nil, err
	}
	d, err := n.draft(ctx, s, st)
	if err != nil || d == nil {
		return nil, nil, err
	}
	s.Close(ctx)
	if d.id == 0 {
		if d.id, err = purgelog.Keep(ctx, conn, d.c, d.tree, d.note, d.by); err != nil {
			return nil, nil, err
		}
	}
	var late []error
	for i, a := range n.anchors {
		err := st.missing[i]
		if err == nil && st.kept[i].Size < d.c.Size {
			if err = put(ctx, a, d.c, d.note); errors.Is(err, anchor.ErrEquivocation) {
				err = fmt.Errorf("%w: %w", ErrAnchorBroken, err)
				n.health.agreed(n.now(), 0, err)
				return nil, nil, err
			}
		}
		if err == nil {
			err = purgelog.KeptAt(ctx, conn, d.id, a.String())
		}
		if err != nil {
			late = append(late, err)
		}
	}
	unanchored = errors.Join(late...)
	n.health.anchoredTo(n.now(), d.c.Size, unanchored)
	return d, unanchored, nil
}

// put keeps a checkpoint at an anchor. Two processes may have signed the same
// one with different sets of keys: it is the same all the same.
func put(ctx context.Context, a anchor.Anchor, c proof.Checkpoint, note []byte) error {
	err := a.Put(ctx, c, note)
	if !errors.Is(err, anchor.ErrEquivocation) {
		return err
	}
	there, read := a.Read(ctx, anchor.Kept{Origin: c.Origin, Size: c.Size})
	if other, open := proof.OpenCheckpoint(there); read == nil && open == nil && other == c {
		return nil
	}
	return err
}

// draft is a checkpoint before it is kept.
type draft struct {
	id   int64 // in the database; 0: it is not there yet
	c    proof.Checkpoint
	tree *proof.Tree
	note []byte
	by   []string
}

// draft makes the checkpoint that is due; nil: nothing of the log is old enough
// for one.
func (n *notary) draft(ctx context.Context, s *purgelog.Snapshot, st standing) (*draft, error) {
	epoch := s.Epoch()
	size, err := s.Settled(ctx, n.cfg.ConfirmDelay)
	if err != nil {
		return nil, err
	}
	last, err := s.Newest(ctx, epoch.Origin, "")
	if err != nil {
		return nil, err
	}
	if last != nil && last.Size >= size {
		c, err := proof.OpenCheckpoint([]byte(last.Note))
		if err != nil || c.Size != last.Size || c.Origin != epoch.Origin || last.Size > s.Size {
			return nil, fmt.Errorf("%w: row %d of sweeper.checkpoints is not a checkpoint of it", purgelog.ErrBroken, last.ID)
		}
		if _, err := continues(ctx, s, c, "sweeper.checkpoints"); err != nil {
			return nil, err
		}
		return &draft{id: last.ID, c: c, note: []byte(last.Note)}, nil
	}
	if size <= epoch.First {
		return nil, nil
	}
	base := st.largest(size, place{s.Pruned(), "sweeper.log_prunes"})
	tree := base.Clone()
	if err := s.Extend(ctx, tree, size); err != nil {
		return nil, err
	}
	d := &draft{c: proof.Checkpoint{Origin: epoch.Origin, Size: size, Root: tree.Root()}, tree: tree, by: []string{}}
	signers, err := n.signers(ctx, s, size)
	if err != nil {
		return nil, err
	}
	for _, one := range signers {
		d.by = append(d.by, fmt.Sprintf("%s+%08x", one.Name(), one.KeyHash()))
	}
	d.note, err = d.c.Sign(signers...)
	return d, err
}

// signers are the keys that a tree of this size is signed with: the one that
// the log names, and while it takes over from another, that one too.
func (n *notary) signers(ctx context.Context, s *purgelog.Snapshot, size uint64) ([]signed.Signer, error) {
	epoch, keys := s.Epoch(), n.cfg.SigningKey
	name := epoch.At(size)
	if name == "" { // the log has named none yet
		name = keys.First.Public()
	}
	if name == "" {
		return nil, nil
	}
	signer, found := keys.of(name)
	if !found {
		return nil, &SetupError{"the purge log is signed with " + name + ", which is not in SWEEPER_SIGNING_KEY", "set it, or if the key is lost run: sweeper log fork"}
	}
	all := []signed.Signer{signer}
	former, from := before(epoch, size)
	if other, found := keys.of(former); found {
		return append(all, other), nil
	}
	if former == "" {
		return all, nil
	}
	done, err := vouched(ctx, s, epoch, former, from)
	if err == nil && !done {
		err = &SetupError{"the first checkpoint after a change of the signing key is signed with the former one too, which is not in SWEEPER_SIGNING_KEY: " + former, "write it behind the new one, with a comma"}
	}
	return all, err
}

// before is the key that the one in use at a size took over from, and the first
// size that it did so at; "": none.
func before(e proof.Epoch, size uint64) (former string, from uint64) {
	key := ""
	for _, k := range e.Keys {
		if size >= k.From && k.Key != key {
			former, key, from = key, k.Key, k.From
		}
	}
	return former, from
}

// vouched tells whether the former key has signed a checkpoint since the one in
// use took over.
func vouched(ctx context.Context, s *purgelog.Snapshot, e proof.Epoch, former string, from uint64) (bool, error) {
	verifier, err := proof.OpenPublic(former)
	if err != nil {
		return false, fmt.Errorf("%w: %w", purgelog.ErrBroken, err)
	}
	all, err := s.Since(ctx, e.Origin, from)
	for _, k := range all {
		if c, err := proof.OpenCheckpoint([]byte(k.Note), verifier); err == nil && c.Origin == e.Origin && c.Size >= from {
			return true, nil
		}
	}
	return false, err
}
