package proof_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// FuzzLeaf reads the leaf back with a decoder that knows only the layout. If
// every leaf gives its entry back, then no two entries have the same leaf.
func FuzzLeaf(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 400))
	f.Add(bytes.Repeat([]byte{1, 0, 3, 200}, 100))
	f.Add([]byte("\x01\x00\x00\x00\x00some bytes to draw an entry from, \xf0\x9f\x97\x9d and \xff\xfe"))
	f.Fuzz(func(t *testing.T, data []byte) {
		want := drawEntry(data)
		leaf, err := want.Leaf()
		if err != nil {
			t.Fatalf("leaf: %v", err)
		}
		got, err := parseLeaf(leaf)
		if err != nil {
			t.Fatalf("parse %x: %v", leaf, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the leaf reads back otherwise (-want +got):\n%s", diff)
		}
	})
}

// drawer turns bytes into values; when they run out, it draws zeros.
type drawer []byte

func (d *drawer) bytes(n int) []byte {
	b := make([]byte, n)
	*d = (*d)[copy(b, *d):]
	return b
}

func (d *drawer) null() bool     { return d.bytes(1)[0]&1 == 0 }
func (d *drawer) short() []byte  { return d.bytes(int(d.bytes(1)[0])) }
func (d *drawer) text() string   { return string(d.short()) }
func (d *drawer) uint64() uint64 { return binary.BigEndian.Uint64(d.bytes(8)) }
func (d *drawer) int64() int64   { return int64(d.uint64()) }
func (d *drawer) uuid() [16]byte { return [16]byte(d.bytes(16)) }

// time draws any microsecond of the years that timestamptz has.
func (d *drawer) time() time.Time {
	const first, span = -210866803200, 9224318016000 + 210866803200
	return time.Unix(first+int64(d.uint64()%span), int64(d.uint64()%1_000_000)*1000).UTC()
}

func drawNull[T any](d *drawer, draw func() T) *T {
	if d.null() {
		return nil
	}
	return ptr(draw())
}

func drawEntry(data []byte) *proof.Entry {
	d := (*drawer)(&data)
	slice := func() []byte {
		if d.null() {
			return nil
		}
		return d.short()
	}
	e := &proof.Entry{
		Seq: d.int64(), LoggedAt: d.time(), CommittedAt: drawNull(d, d.time), CommitLSN: d.uint64(),
		XID: drawNull(d, d.int64), Source: d.text(), Kind: d.text(), Reason: drawNull(d, d.text),
		Category: drawNull(d, d.text), Relation: drawNull(d, d.text), Partition: drawNull(d, d.text),
		Tenant: drawNull(d, d.text), SubjectDigest: slice(), Cutoff: drawNull(d, d.time), Basis: drawNull(d, d.text),
		Actor: drawNull(d, d.text), Reference: drawNull(d, d.text), RequestID: drawNull(d, d.uuid),
		RunID: drawNull(d, d.uuid), PolicySHA256: slice(), RowCount: drawNull(d, d.int64),
		ObjectsRemoved: drawNull(d, d.int64), RowsRoot: slice(),
	}
	if !d.null() {
		e.Columns = []string{}
		for range d.bytes(1)[0] % 8 {
			e.Columns = append(e.Columns, d.text())
		}
	}
	return e
}

// parser reads a leaf; the first fault stays in err.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) bytes(n int) []byte {
	if n > len(p.rest) {
		p.err = errors.Join(p.err, fmt.Errorf("want %d bytes, %d left", n, len(p.rest)))
		return make([]byte, 16)
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) lp() []byte     { return p.bytes(int(binary.BigEndian.Uint32(p.bytes(4)))) }
func (p *parser) text() string   { return string(p.lp()) }
func (p *parser) uint64() uint64 { return binary.BigEndian.Uint64(p.bytes(8)) }
func (p *parser) int64() int64   { return int64(p.uint64()) }
func (p *parser) uuid() [16]byte { return [16]byte(p.bytes(16)) }
func (p *parser) time() time.Time {
	us := p.int64()
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).
		AddDate(0, 0, int(us/86_400_000_000)).Add(time.Duration(us%86_400_000_000) * time.Microsecond)
}

func (p *parser) null() bool {
	flag := p.bytes(1)[0]
	if flag > 1 {
		p.err = errors.Join(p.err, fmt.Errorf("flag %d", flag))
	}
	return flag == 0
}

func parseNull[T any](p *parser, parse func() T) *T {
	if p.null() {
		return nil
	}
	return ptr(parse())
}

func parseLeaf(leaf []byte) (*proof.Entry, error) {
	rest, ok := bytes.CutPrefix(leaf, []byte("sweeper/leaf/v1\x00"))
	if !ok {
		return nil, errors.New("no label")
	}
	p := &parser{rest: rest}
	slice := func() []byte {
		if p.null() {
			return nil
		}
		return p.lp()
	}
	e := &proof.Entry{
		Seq: p.int64(), LoggedAt: p.time(), CommittedAt: parseNull(p, p.time), CommitLSN: p.uint64(),
		XID: parseNull(p, p.int64), Source: p.text(), Kind: p.text(), Reason: parseNull(p, p.text),
		Category: parseNull(p, p.text), Relation: parseNull(p, p.text), Partition: parseNull(p, p.text),
		Tenant: parseNull(p, p.text), SubjectDigest: slice(), Cutoff: parseNull(p, p.time), Basis: parseNull(p, p.text),
		Actor: parseNull(p, p.text), Reference: parseNull(p, p.text), RequestID: parseNull(p, p.uuid),
		RunID: parseNull(p, p.uuid), PolicySHA256: slice(), RowCount: parseNull(p, p.int64),
	}
	if !p.null() {
		e.Columns = []string{}
		for range binary.BigEndian.Uint32(p.bytes(4)) {
			e.Columns = append(e.Columns, p.text())
			if p.err != nil {
				break
			}
		}
	}
	e.ObjectsRemoved = parseNull(p, p.int64)
	e.RowsRoot = slice()
	if len(p.rest) > 0 {
		p.err = errors.Join(p.err, fmt.Errorf("%d bytes too many", len(p.rest)))
	}
	return e, p.err
}
