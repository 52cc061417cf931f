package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
)

// epoch is where PostgreSQL's clock begins.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// cursor walks through one message. A read past the end makes it bad and gives
// zeros from then on, so that one check at the end covers all reads.
type cursor struct {
	rest []byte
	kind byte // the message's type, for errors
	size int  // the message's length, for errors
	bad  bool
}

// open starts a cursor after the type byte of a message that is not empty.
func open(message []byte) cursor {
	return cursor{rest: message[1:], kind: message[0], size: len(message)}
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.bad, c.rest = true, nil
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) u8() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() int {
	if b := c.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) lsn() pglogrepl.LSN { return pglogrepl.LSN(c.u64()) }

func (c *cursor) time() time.Time {
	micros := int64(c.u64())
	// A Duration since then would reach 292 years only.
	return time.Unix(epoch.Unix()+micros/1e6, micros%1e6*1000).UTC()
}

func (c *cursor) text() string {
	end := bytes.IndexByte(c.rest, 0)
	if end < 0 {
		c.bad, c.rest = true, nil
		return ""
	}
	s := string(c.rest[:end])
	c.rest = c.rest[end+1:]
	return s
}

// done is the error of a message that ended early or goes on too long.
func (c *cursor) done() error {
	switch {
	case c.bad:
		return c.fail("it ends early")
	case len(c.rest) > 0:
		return c.fail(fmt.Sprintf("it is %d bytes too long", len(c.rest)))
	}
	return nil
}

func (c *cursor) fail(why string) error {
	return fmt.Errorf("decode message %q of %d bytes: %s", c.kind, c.size, why)
}

// begin opens a transaction.
type begin struct {
	final pglogrepl.LSN // where its commit record starts
	at    time.Time
	xid   uint32
}

func decodeBegin(message []byte) (begin, error) {
	c := open(message)
	b := begin{final: c.lsn(), at: c.time(), xid: c.u32()}
	return b, c.done()
}

// commit closes a transaction.
type commit struct {
	lsn, end pglogrepl.LSN
	at       time.Time
}

func decodeCommit(message []byte) (commit, error) {
	c := open(message)
	c.u8() // flags, none defined
	m := commit{lsn: c.lsn(), end: c.lsn(), at: c.time()}
	return m, c.done()
}

func decodeRelation(message []byte) (*Relation, error) {
	c := open(message)
	r := &Relation{OID: c.u32(), Schema: c.text(), Name: c.text(), Identity: c.u8()}
	if r.Schema == "" { // the protocol's way to write it
		r.Schema = "pg_catalog"
	}
	n := c.u16()
	for range n {
		if c.bad {
			break
		}
		flags := c.u8()
		r.Columns = append(r.Columns, Column{Name: c.text(), Type: c.u32(), Identity: flags&1 != 0})
		c.u32() // type modifier
	}
	return r, c.done()
}

func decodeTruncate(message []byte) ([]uint32, error) {
	c := open(message)
	n := c.u32()
	c.u8() // cascade, restart identity: the list names every table anyway
	if int64(n)*4 != int64(len(c.rest)) {
		return nil, c.fail("its list of relations has another length")
	}
	oids := make([]uint32, n)
	for i := range oids {
		oids[i] = c.u32()
	}
	return oids, c.done()
}

// field is one column of a tuple: kind n (null), u (unchanged, not sent) or
// t (text). value lies in the network buffer.
type field struct {
	kind  byte
	value []byte
}

// tuple reads one tuple into row's memory.
func (c *cursor) tuple(row []field) ([]field, error) {
	row = row[:0]
	n := c.u16()
	for range n {
		f := field{kind: c.u8()}
		switch f.kind {
		case 'n', 'u':
		case 't':
			f.value = c.take(int(int32(c.u32())))
		default:
			if c.bad {
				return row, c.done()
			}
			return row, c.fail(fmt.Sprintf("a column has the unknown form %q", f.kind))
		}
		if c.bad {
			return row, c.done()
		}
		row = append(row, f)
	}
	return row, nil
}

// identify reads the tuples of an update or delete and leaves in row the one
// that names the row: the old one when it is there.
func (c *cursor) identify(row []field) ([]field, error) {
	form := c.u8()
	if form != 'K' && form != 'O' && (form != 'N' || c.kind != byte(Update)) {
		return row, c.unknownTuple(form)
	}
	row, err := c.tuple(row)
	if err != nil || c.kind == byte(Delete) || form == 'N' {
		return row, c.or(err)
	}
	// The new values behind the old key are nobody's business: stepped over.
	if form = c.u8(); form != 'N' {
		return row, c.unknownTuple(form)
	}
	return row, c.or(c.skipTuple())
}

// or is err, or what done finds.
func (c *cursor) or(err error) error {
	if err != nil {
		return err
	}
	return c.done()
}

func (c *cursor) unknownTuple(form byte) error {
	if c.bad {
		return c.done()
	}
	return c.fail(fmt.Sprintf("a tuple has the unknown form %q", form))
}

// skipTuple steps over a tuple.
func (c *cursor) skipTuple() error {
	for range c.u16() {
		switch kind := c.u8(); kind {
		case 'n', 'u':
		case 't':
			c.take(int(int32(c.u32())))
		default:
			return c.unknownTuple(kind)
		}
	}
	return nil
}

// appendLength writes the length before a field of lp(x).
func appendLength(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}
