package proof

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// Labels keep the uses of the one key and of SHA-256 apart.
const (
	rowLabel     = "sweeper/row/v1"
	subjectLabel = "sweeper/subject/v1"
)

// Committer makes row commitments with one key. It allocates nothing per row
// and is not safe for concurrent use: each goroutine has its own.
type Committer struct {
	mac   hash.Hash
	sum   hash.Hash
	label []byte
	nonce [32]byte
	out   [32]byte
}

// NewCommitter returns a Committer for key, the K of SWEEPER_HMAC_KEY, whose
// length the caller has checked. The key is not kept as such.
func NewCommitter(key []byte) *Committer {
	return &Committer{mac: hmac.New(sha256.New, key), sum: sha256.New(), label: []byte(rowLabel)}
}

// Commit returns the commitment of the row that id names:
// SHA-256("sweeper/row/v1" ‖ Nonce(id) ‖ id). id is lp(root relation), then
// lp(column) ‖ lp(text) for each key column in key order, with lp as
// AppendField writes it. id is neither kept nor changed.
func (c *Committer) Commit(id []byte) [32]byte {
	c.fillNonce(id)
	c.sum.Reset()
	c.sum.Write(c.label)
	c.sum.Write(c.nonce[:])
	c.sum.Write(id)
	c.sum.Sum(c.out[:0])
	return c.out
}

// Nonce returns HMAC-SHA-256(K, id). Revealing it with id opens the commitment
// of this one row to an auditor (see OpenRow) and nothing else: K stays secret.
func (c *Committer) Nonce(id []byte) [32]byte {
	c.fillNonce(id)
	return c.nonce
}

func (c *Committer) fillNonce(id []byte) {
	c.mac.Reset()
	c.mac.Write(id)
	c.mac.Sum(c.nonce[:0])
}

// OpenRow returns the commitment of the row that id names from its revealed
// nonce, without the key. It proves the row when it is among an entry's
// commitments.
func OpenRow(nonce [32]byte, id []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(rowLabel))
	h.Write(nonce[:])
	h.Write(id)
	return [32]byte(h.Sum(nil))
}

// SubjectDigest returns what an entry has as subject_digest:
// HMAC-SHA-256(key, "sweeper/subject/v1" ‖ lp(tenant) ‖ lp(subject)). tenant
// is "" where there is none; subject is the canonical text of the subject
// column's type.
func SubjectDigest(key []byte, tenant, subject string) [32]byte {
	mac := hmac.New(sha256.New, key)
	message := appendText([]byte(subjectLabel), tenant)
	mac.Write(appendText(message, subject))
	return [32]byte(mac.Sum(nil))
}
