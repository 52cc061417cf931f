package proof

import (
	"crypto/sha256"
	"encoding/binary"
)

// The first byte of whatever is hashed says what it is, so that no leaf can
// pass for a node or a link. The first two are RFC 6962's.
const (
	leafPrefix  = 0x00
	nodePrefix  = 0x01
	chainPrefix = 0x02
)

// HashLeaf returns the RFC 6962 leaf hash of b: SHA-256(0x00 ‖ b).
func HashLeaf(b []byte) [32]byte {
	var stack [1024]byte // holds the usual leaf, so that hashing it allocates nothing
	return sha256.Sum256(append(append(stack[:0], leafPrefix), b...))
}

// hashNode returns the RFC 6962 hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
func hashNode(left, right *[32]byte) [32]byte {
	return hashPair(nodePrefix, left, right)
}

// Chain returns the link after prev, SHA-256(0x02 ‖ prev ‖ leafHash). The
// first entry's prev is 32 zero bytes.
func Chain(prev, leafHash [32]byte) [32]byte {
	return hashPair(chainPrefix, &prev, &leafHash)
}

func hashPair(prefix byte, a, b *[32]byte) [32]byte {
	var buf [65]byte
	buf[0] = prefix
	copy(buf[1:], a[:])
	copy(buf[33:], b[:])
	return sha256.Sum256(buf[:])
}

// AppendField appends lp(field) to dst and returns it: the length of field as
// four bytes, big-endian, then its bytes. No two lists of fields give the
// same bytes.
func AppendField(dst, field []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
	return append(dst, field...)
}
