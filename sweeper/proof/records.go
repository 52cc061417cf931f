package proof

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"io/fs"
)

// The longest records that an export has.
const (
	mostCommitments = 64 << 20
	mostNote        = 1 << 20
	mostManifest    = 1 << 20
)

// records reads a file of an export, and hashes what it reads.
type records struct {
	open func() (fs.File, error)
	f    fs.File
	r    *bufio.Reader
	n    int64
	sum  hash.Hash
	bad  string // what ended the reading of records before the file's end
	buf  []byte
	rest []byte
	row  rowPart
}

type rowPart struct {
	seq         int64
	part        int32
	commitments []byte
}

func newRecords(fsys fs.FS, name string) *records {
	return &records{open: func() (fs.File, error) { return fsys.Open(name) }, sum: sha256.New()}
}

// start opens the file.
func (r *records) start() error {
	if r.r != nil {
		return nil
	}
	var err error
	if r.f, err = r.open(); err != nil {
		return err
	}
	r.r = bufio.NewReaderSize(r.f, 1<<16)
	return nil
}

// Read makes the file's bytes count.
func (r *records) Read(b []byte) (int, error) {
	if err := r.start(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(b)
	r.n += int64(n)
	r.sum.Write(b[:n])
	return n, err
}

// fill reads n bytes into dst. At the end of the file, or of what can be read of
// it, ok is false.
func (r *records) fill(dst []byte, within bool) (ok bool, err error) {
	if r.bad != "" {
		return false, nil
	}
	n, err := io.ReadFull(r, dst)
	switch {
	case errors.Is(err, io.EOF) && n == 0 && !within:
		return false, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.bad = "it ends within a record"
		return false, nil
	}
	return err == nil, err
}

// field reads lp(field); nil at the end. It is valid until the next one.
func (r *records) field(most int) ([]byte, error) { return r.fieldIn(most, false) }

func (r *records) fieldIn(most int, within bool) ([]byte, error) {
	var length [4]byte
	if ok, err := r.fill(length[:], within); !ok {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > int64(most) {
		r.bad = "a record is longer than any can be"
		return nil, nil
	}
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	if n == 0 {
		return []byte{}, nil
	}
	if ok, err := r.fill(r.buf, true); !ok {
		return nil, err
	}
	return r.buf, nil
}

// entry reads a leaf and the two hashes behind it.
func (r *records) entry() (leaf, hashes []byte, err error) {
	leaf, err = r.field(MaxLeaf)
	if err != nil || leaf == nil {
		return nil, nil, err
	}
	if r.rest == nil {
		r.rest = make([]byte, 2*sha256.Size)
	}
	if ok, err := r.fill(r.rest, true); !ok {
		return nil, nil, err
	}
	return leaf, r.rest, nil
}

// part reads a part of an entry's commitments.
func (r *records) part() (*rowPart, error) {
	var place [12]byte
	if ok, err := r.fill(place[:], false); !ok {
		return nil, err
	}
	commitments, err := r.fieldIn(mostCommitments, true)
	if err != nil || commitments == nil {
		return nil, err
	}
	r.row = rowPart{int64(binary.BigEndian.Uint64(place[:])), int32(binary.BigEndian.Uint32(place[8:])), commitments}
	return &r.row, nil
}

// drain reads what is left, for the sum.
func (r *records) drain() error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (r *records) close() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	return err
}

// sameAs compares what is written to it with a file.
type sameAs struct {
	r       *records
	differs bool
	buf     []byte
}

func (s *sameAs) Write(b []byte) (int, error) {
	if s.differs {
		return len(b), nil
	}
	if cap(s.buf) < len(b) {
		s.buf = make([]byte, len(b))
	}
	s.buf = s.buf[:len(b)]
	n, err := io.ReadFull(s.r, s.buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	s.differs = n < len(b) || !bytes.Equal(s.buf, b)
	return len(b), err
}

// end looks whether the file has more than was written.
func (s *sameAs) end() error {
	var one [1]byte
	n, err := s.r.Read(one[:])
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.differs = s.differs || n > 0
	return err
}
