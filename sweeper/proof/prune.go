package proof

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
)

// Prune is what is left of the entries that were pruned from the beginning of a
// log: a row of sweeper.log_prunes. With it the survivors verify, and each is
// proved to be in the tree of any size from Size on.
type Prune struct {
	Size      int64  // entries that are gone: 0 to Size - 1
	ChainHash []byte // of the last of them
	Hashes    []byte // the edge of the tree over them, 32 bytes each, one after the other
	EntrySeq  int64  // the entry of kind KindPrune that says so
	Origin    string // of the log that they were of, as that entry says
}

const pruneLabel = "sweeper/prune/v1"

// Digest returns SHA-256("sweeper/prune/v1" ‖ Size as 8 bytes ‖ ChainHash ‖
// Hashes): what the entry of the prune commits to.
func (p *Prune) Digest() [32]byte {
	b := binary.BigEndian.AppendUint64([]byte(pruneLabel), uint64(p.Size))
	return sha256.Sum256(append(append(b, p.ChainHash...), p.Hashes...))
}

// Tree returns the tree over the entries that are gone.
func (p *Prune) Tree() (*Tree, error) {
	t, err := ReadTree(uint64(p.Size), p.Hashes)
	if err != nil || len(p.ChainHash) != sha256.Size {
		return nil, fmt.Errorf("take up a pruned log: the record of the prune has not the form of one of %d entries", p.Size)
	}
	return t, nil
}

// Verifier returns a Verifier for what follows the entries that are gone.
func (p *Prune) Verifier() (*Verifier, error) {
	t, err := p.Tree()
	if err != nil {
		return nil, err
	}
	return NewVerifierAfter(t, [32]byte(p.ChainHash)), nil
}

// pruneNote is how the reference of an entry of a prune ends.
var pruneNote = regexp.MustCompile(`; of (` + OriginPrefix + `[0-9a-f]{32}); digest ([0-9a-f]{64})$`)

// Reference is what the entry of the prune has as its reference: why, and of
// which log what went, so that its checkpoints are known by their origin when
// the entry that named it is gone.
func (p *Prune) Reference(reason string) string {
	return fmt.Sprintf("%s; of %s; digest %x", reason, p.Origin, p.Digest())
}

// PrunedOrigin reads the origin out of the reference of a prune's entry; "" when
// it has not that form.
func PrunedOrigin(reference string) string {
	if found := pruneNote.FindStringSubmatch(reference); found != nil {
		return found[1]
	}
	return ""
}

// Check compares the record with the entry that it names.
func (p *Prune) Check(e *Entry) []Problem {
	digest := p.Digest()
	found := pruneNote.FindStringSubmatch(deref(e.Reference))
	switch {
	case e.Seq != p.EntrySeq:
		return nil
	case e.Kind != KindPrune:
		return []Problem{{e.Seq, "log_prunes names this entry, which is none of a prune"}}
	case found == nil || found[1] != p.Origin || found[2] != hex.EncodeToString(digest[:]):
		return []Problem{{e.Seq, "log_prunes is not what this entry says of the prune"}}
	}
	return nil
}

// OriginAfter is the origin of the log behind an entry: the entry's own when a
// log begins with it, else the one before it.
func OriginAfter(origin string, e *Entry) string {
	if (e.Kind == KindGenesis || e.Kind == KindFork) && len(e.LeafHash) == sha256.Size {
		return Origin([32]byte(e.LeafHash))
	}
	return origin
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
