package proof

import (
	"encoding/binary"
	"fmt"
	"time"
)

// leafLabel opens every leaf of version 1. A changed layout gets a new label
// and a new function; version 1 never changes.
const leafLabel = "sweeper/leaf/v1\x00"

// Flags before a field that may be NULL.
const (
	flagNull  = 0x00
	flagValue = 0x01
)

// The instants that PostgreSQL's timestamptz can hold, in seconds since 1970,
// and where it counts from.
const (
	pgEpoch   = 946684800     // 2000-01-01 00:00:00 UTC
	firstTime = -210866803200 // 4714-11-24 00:00:00 UTC BC
	endTime   = 9224318016000 // 294277-01-01 00:00:00 UTC, the first that is too late
)

// Leaf returns the bytes that the entry's hash is taken over, as the package
// comment lays them out: every field but the two hashes. It is an error when a
// time cannot be a timestamptz, or when the leaf would be longer than MaxLeaf.
// Times count in microseconds; what is finer is dropped, as storing them does.
func (e *Entry) Leaf() ([]byte, error) {
	return e.appendLeaf(make([]byte, 0, 512))
}

// appendLeaf appends the leaf to dst, which Verifier uses again and again.
func (e *Entry) appendLeaf(dst []byte) ([]byte, error) {
	if err := e.checkTimes(); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, leafLabel...)
	dst = appendInt(dst, e.Seq)
	dst = appendTime(dst, e.LoggedAt)
	dst = appendNullTime(dst, e.CommittedAt)
	dst = binary.BigEndian.AppendUint64(dst, e.CommitLSN)
	dst = appendNullInt(dst, e.XID)
	dst = appendText(dst, e.Source)
	dst = appendText(dst, e.Kind)
	for _, s := range [...]*string{e.Reason, e.Category, e.Relation, e.Partition, e.Tenant} {
		dst = appendNullText(dst, s)
	}
	dst = appendNullBytes(dst, e.SubjectDigest)
	dst = appendNullTime(dst, e.Cutoff)
	for _, s := range [...]*string{e.Basis, e.Actor, e.Reference} {
		dst = appendNullText(dst, s)
	}
	dst = appendNullUUID(dst, e.RequestID)
	dst = appendNullUUID(dst, e.RunID)
	dst = appendNullBytes(dst, e.PolicySHA256)
	dst = appendNullInt(dst, e.RowCount)
	dst = appendNullTexts(dst, e.Columns)
	dst = appendNullInt(dst, e.ObjectsRemoved)
	dst = appendNullBytes(dst, e.RowsRoot)
	if n := len(dst) - start; n > MaxLeaf {
		return dst, fmt.Errorf("encode entry %d: its leaf has %d bytes and may have %d: shorten its texts", e.Seq, n, MaxLeaf)
	}
	return dst, nil
}

func (e *Entry) checkTimes() error {
	for _, t := range [...]struct {
		column string
		at     *time.Time
	}{{"logged_at", &e.LoggedAt}, {"committed_at", e.CommittedAt}, {"cutoff", e.Cutoff}} {
		if t.at != nil && (t.at.Unix() < firstTime || t.at.Unix() >= endTime) {
			return fmt.Errorf("encode entry %d: %s is no time that timestamptz can hold", e.Seq, t.column)
		}
	}
	return nil
}

func appendInt(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v))
}

// appendTime does not go through UnixMicro, which overflows in the last years
// of timestamptz.
func appendTime(dst []byte, t time.Time) []byte {
	return appendInt(dst, (t.Unix()-pgEpoch)*1_000_000+int64(t.Nanosecond()/1000))
}

func appendText(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

func appendNullInt(dst []byte, v *int64) []byte {
	if v == nil {
		return append(dst, flagNull)
	}
	return appendInt(append(dst, flagValue), *v)
}

func appendNullTime(dst []byte, t *time.Time) []byte {
	if t == nil {
		return append(dst, flagNull)
	}
	return appendTime(append(dst, flagValue), *t)
}

func appendNullText(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, flagNull)
	}
	return appendText(append(dst, flagValue), *s)
}

func appendNullBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, flagNull)
	}
	return AppendField(append(dst, flagValue), b)
}

func appendNullUUID(dst []byte, id *[16]byte) []byte {
	if id == nil {
		return append(dst, flagNull)
	}
	return append(append(dst, flagValue), id[:]...)
}

func appendNullTexts(dst []byte, texts []string) []byte {
	if texts == nil {
		return append(dst, flagNull)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, flagValue), uint32(len(texts)))
	for _, s := range texts {
		dst = appendText(dst, s)
	}
	return dst
}
