// Package proof is the format of the purge log: the bytes that are hashed, the
// chain, the Merkle tree, the commitments to rows, and a verifier of all that.
//
// It is pure: no database, no clock, no file, and of this project nothing
// else, so that an auditor can import it, or write it again from this page.
// It never sees a row's values beyond the keys it is given, and it never keeps
// them. What it proves is that a log is the one that its head or a checkpoint
// speaks of. It cannot tell that a log was forged whole, together with its
// head: that takes a checkpoint kept outside the database.
//
// Below, ‖ joins bytes, integers are big-endian, and
//
//	lp(x) = the length of x as 4 bytes ‖ x
//
// # Leaf, version 1
//
// A leaf is the row of sweeper.purge_log without leaf_hash and chain_hash. It
// opens with the 16 bytes "sweeper/leaf/v1" ‖ 00; then the columns follow in
// the order of the table:
//
//	seq              int64    8 bytes, two's complement
//	logged_at        time     8 bytes: microseconds since 2000-01-01 00:00 UTC, two's complement
//	committed_at  ?  time
//	commit_lsn       uint64   8 bytes
//	xid           ?  int64
//	source           text     lp(UTF-8)
//	kind             text
//	reason        ?  text
//	category      ?  text
//	relation      ?  text
//	partition     ?  text
//	tenant        ?  text
//	subject_digest ? bytes    lp(bytes)
//	cutoff        ?  time
//	basis         ?  text
//	actor         ?  text
//	reference     ?  text
//	request_id    ?  uuid     16 bytes
//	run_id        ?  uuid
//	policy_sha256 ?  bytes
//	row_count     ?  int64
//	columns       ?  texts    the number of texts as 4 bytes ‖ lp(UTF-8) of each
//	objects_removed ? int64
//	rows_root     ?  bytes
//
// A column marked ? may be NULL and has one byte before it: 00 for NULL, and
// nothing follows; 01 for a value, which follows. Text is taken as it is
// stored, without Unicode normalisation. A leaf has at most 65535 bytes.
//
// Every field is of fixed length or tells its length, so a leaf reads back
// into exactly one entry. These are the bytes of PostgreSQL's own int8send,
// timestamptz_send, pg_lsn_send, uuid_send and convert_to, so that function
// sweeper.leaf_bytes rebuilds a leaf in plain SQL. testdata/leaf_v1.json holds
// examples. Version 1 never changes; another layout gets another label.
//
// # Leaf hash, chain, tree
//
//	leaf_hash  = SHA-256(00 ‖ leaf)
//	chain_hash = SHA-256(02 ‖ chain_hash of the entry before ‖ leaf_hash)
//
// where the first entry, seq 0, has 32 zero bytes for the hash before it. The
// tree is that of RFC 6962, section 2.1, over the leaf hashes in the order of
// seq, which counts from 0 without gaps: the root of one leaf is its leaf
// hash, that of no leaf is SHA-256 of nothing, and that of n leaves is
//
//	SHA-256(01 ‖ root of the first k leaves ‖ root of the others)
//
// with k the largest power of two below n. The first bytes 00, 01 and 02 keep
// leaves, nodes and links apart.
//
// To grow, a tree needs only its right edge: the roots of the perfect subtrees
// that its size is the sum of, one per bit that is set, left to right, 32
// bytes each. That is column hashes of sweeper.log_head.
//
// # Row commitments
//
// One entry stands for all rows that one transaction removed or redacted in
// one relation. Each row is in it by a commitment, keyed by the secret K of 32
// bytes or more:
//
//	id         = lp(root relation) ‖ lp(key column) ‖ lp(its text) ‖ lp(key column) ‖ …
//	nonce      = HMAC-SHA-256(K, id)
//	commitment = SHA-256("sweeper/row/v1" ‖ nonce ‖ id)
//
// The relation is written schema.table, each part quoted only where needed;
// key columns come in key order, bare; texts are PostgreSQL's output of the
// old key. The commitments of an entry stand in sweeper.purge_rows, 32 bytes
// each, in the order of the write-ahead log, part by part. rows_root is the
// root of the same tree over them, each commitment being the content of a
// leaf: SHA-256(00 ‖ commitment). The root of no rows is SHA-256 of nothing;
// entries of kinds that have no row commitments have NULL.
//
// Where the policy says evidence: row, an entry stands for one row: row_count is
// 1, and the one commitment, in one part, has rows_root = SHA-256(00 ‖ commitment).
// Nothing else about it differs.
//
// Whoever has K finds a row by its key. Who has not learns nothing from a
// commitment, yet one row is proved to him by its nonce and id: he computes
// the commitment himself (see [OpenRow]). K stays secret, and the commitment
// opens as no other row.
//
// # Subject digest
//
//	subject_digest = HMAC-SHA-256(K, "sweeper/subject/v1" ‖ lp(tenant) ‖ lp(subject))
//
// with the empty text for no tenant, and the subject in the canonical text of
// its column's type. testdata/row_v1.json holds examples of digests and of
// row commitments.
//
// # Pruned logs
//
// The first entries of a log may be pruned: 0 to size - 1. Kept of them are the
// chain hash of the last and the edge of the tree over them, in
// sweeper.log_prunes. The chain goes on from the one and the tree from the other,
// so that the root of each size from there on is what it was. The entry of kind
// log_prune that tells of it ends its reference with "; of " and the origin of
// the log's checkpoints, and with "; digest " and in hex
//
//	SHA-256("sweeper/prune/v1" ‖ size as 8 bytes ‖ chain_hash ‖ edge)
//
// where no name of the log's beginning is left, the origin is taken from there.
//
// # Export, version 1
//
// An export is a folder of these files and no other:
//
//	entries.bin      each entry in the order of seq: lp(leaf) ‖ leaf_hash ‖ chain_hash
//	rows.bin         each part of row commitments in the order of seq and part: seq as 8 bytes ‖ part as 4 bytes ‖ lp(commitments)
//	checkpoints.bin  each checkpoint in the order of size: lp(note)
//	entries.csv      the entries as people read them: a header, and a line each
//	entries.json     the same as a JSON array, an object and line each
//	manifest.json    see [Manifest]: counts, head, prune, and length and SHA-256 of each other file
//
// The hashes in entries.bin are those that the log has, right or wrong. The two
// readable files and the manifest follow from the others byte by byte, and
// [VerifyExport] makes them again. A proof of a row is a [Document].
//
// # How to verify a log
//
// Read sweeper.purge_log in the order of seq and feed a [Verifier]; compare it
// with sweeper.log_head, or its tree with a checkpoint of the same size. For
// each entry that has a rows_root, feed its commitments to [Rows] and compare
// root and count with rows_root and row_count.
package proof
