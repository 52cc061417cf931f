package proof

import "time"

// MaxLeaf is the largest leaf in bytes. Tile formats of transparency logs give
// a leaf's length in 16 bits.
const MaxLeaf = 65535

// Entry is one row of sweeper.purge_log, its columns in their order. A nil
// pointer or slice is NULL; an empty slice is an empty value, which is not the
// same.
type Entry struct {
	Seq            int64      // index in the tree, counts from 0 without gaps
	LoggedAt       time.Time  // when the entry was appended
	CommittedAt    *time.Time // when the transaction committed
	CommitLSN      uint64     // where, in the write-ahead log
	XID            *int64
	Source         string // the server that the entry came from
	Kind           string
	Reason         *string
	Category       *string
	Relation       *string // root relation, schema.table
	Partition      *string // leaf relation, schema.table
	Tenant         *string
	SubjectDigest  []byte // see SubjectDigest
	Cutoff         *time.Time
	Basis          *string
	Actor          *string
	Reference      *string
	RequestID      *[16]byte
	RunID          *[16]byte
	PolicySHA256   []byte
	RowCount       *int64
	Columns        []string
	ObjectsRemoved *int64
	RowsRoot       []byte // see Rows; NULL for kinds without row commitments

	LeafHash  []byte // HashLeaf(Leaf()), 32 bytes
	ChainHash []byte // Chain(previous entry's ChainHash, LeafHash), 32 bytes
}

// The kinds of entries that this package knows by name.
const (
	KindGenesis     = "genesis"
	KindFork        = "fork"
	KindKeyRotation = "key_rotation"
	KindPrune       = "log_prune"
	KindMismatch    = "mismatch"
	KindGap         = "gap"
)
