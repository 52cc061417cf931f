package purgelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// copyMagic opens the binary form of COPY; behind it stand flags and the length
// of an extension, four bytes each, of which PostgreSQL writes zeros.
var copyMagic = []byte("PGCOPY\n\xff\r\n\x00")

const copyHeader = 11 + 4 + 4

// copyReader takes the output of COPY … TO STDOUT (FORMAT binary) and gives the
// fields of each row to a function. A field is nil for NULL, and valid until the
// function returns.
type copyReader struct {
	fields [][]byte
	row    func(fields [][]byte) error
	rest   []byte // of a row that is not whole yet
	begun  bool
	ended  bool
}

var errCopy = errors.New("read the output of COPY: unexpected form")

// Write makes it an io.Writer. A row comes whole, in one Write, from every server
// that there is; the protocol does not promise it.
func (c *copyReader) Write(b []byte) (int, error) {
	n := len(b)
	if len(c.rest) > 0 {
		c.rest = append(c.rest, b...)
		b = c.rest
	}
	if !c.begun {
		if len(b) < copyHeader {
			c.rest = append(c.rest[:0], b...)
			return n, nil
		}
		if !bytes.Equal(b[:len(copyMagic)], copyMagic) || binary.BigEndian.Uint64(b[len(copyMagic):]) != 0 {
			return 0, errCopy
		}
		c.begun, b = true, b[copyHeader:]
	}
	for len(b) > 0 {
		used, err := c.one(b)
		if err != nil {
			return 0, err
		}
		if used == 0 {
			break
		}
		b = b[used:]
	}
	c.rest = append(c.rest[:0], b...)
	return n, nil
}

// one takes a row off the front; 0: it is not whole.
func (c *copyReader) one(b []byte) (used int, err error) {
	if c.ended || len(b) < 2 {
		if c.ended {
			return 0, errCopy
		}
		return 0, nil
	}
	n := int16(binary.BigEndian.Uint16(b))
	at := 2
	if n == -1 {
		c.ended = true
		return at, nil
	}
	if int(n) != len(c.fields) {
		return 0, errCopy
	}
	for i := range c.fields {
		if len(b) < at+4 {
			return 0, nil
		}
		length := int(int32(binary.BigEndian.Uint32(b[at:])))
		at += 4
		if length < 0 {
			c.fields[i] = nil
			continue
		}
		if len(b) < at+length {
			return 0, nil
		}
		c.fields[i] = b[at : at+length : at+length]
		at += length
	}
	return at, c.row(c.fields)
}

// copyOut runs a query as COPY and has row look at what it yields.
func copyOut(ctx context.Context, conn *pgx.Conn, what, query string, columns int, row func(fields [][]byte) error) error {
	c := &copyReader{fields: make([][]byte, columns), row: row}
	if _, err := conn.PgConn().CopyTo(ctx, c, "copy ("+query+") to stdout (format binary)"); err != nil {
		return pg.Wrap(what, err)
	}
	if !c.ended || len(c.rest) > 0 {
		return fmt.Errorf("%s: %w", what, errCopy)
	}
	return nil
}
