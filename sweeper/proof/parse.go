package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// ParseLeaf reads a leaf back into its entry, whose LeafHash and ChainHash stay
// nil. It takes exactly what Leaf gives: whatever it reads, Leaf writes again
// byte for byte. Texts and byte strings of the entry share no memory with b.
func ParseLeaf(b []byte) (Entry, error) {
	if len(b) > MaxLeaf {
		return Entry{}, fmt.Errorf("read a leaf: it has %d bytes and may have %d", len(b), MaxLeaf)
	}
	rest, ours := bytes.CutPrefix(b, []byte(leafLabel))
	if !ours {
		return Entry{}, errors.New("read a leaf: it does not begin with the label of version 1")
	}
	p := leafParser{rest: rest}
	e := Entry{
		Seq: p.int(), LoggedAt: p.time(), CommittedAt: nullable(&p, p.time), CommitLSN: uint64(p.int()), XID: nullable(&p, p.int),
		Source: p.text(), Kind: p.text(), Reason: nullable(&p, p.text), Category: nullable(&p, p.text), Relation: nullable(&p, p.text),
		Partition: nullable(&p, p.text), Tenant: nullable(&p, p.text), SubjectDigest: p.nullBytes(), Cutoff: nullable(&p, p.time),
		Basis: nullable(&p, p.text), Actor: nullable(&p, p.text), Reference: nullable(&p, p.text), RequestID: nullable(&p, p.uuid),
		RunID: nullable(&p, p.uuid), PolicySHA256: p.nullBytes(), RowCount: nullable(&p, p.int), Columns: p.nullTexts(),
		ObjectsRemoved: nullable(&p, p.int), RowsRoot: p.nullBytes(),
	}
	switch {
	case p.bad != "":
		return Entry{}, fmt.Errorf("read a leaf: %s", p.bad)
	case len(p.rest) > 0:
		return Entry{}, fmt.Errorf("read a leaf: %d bytes follow its last field", len(p.rest))
	}
	return e, nil
}

// leafParser takes fields off the front. After the first thing that is wrong it
// gives zeros.
type leafParser struct {
	rest []byte
	bad  string
}

func (p *leafParser) take(n int) []byte {
	if p.bad != "" {
		return nil
	}
	if n > len(p.rest) {
		p.bad = "it ends within a field"
		return nil
	}
	field := p.rest[:n]
	p.rest = p.rest[n:]
	return field
}

func (p *leafParser) int() int64 {
	if b := p.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (p *leafParser) length() int {
	if b := p.take(4); b != nil {
		return int(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (p *leafParser) time() time.Time {
	const second = 1_000_000
	micros := p.int()
	s, rest := micros/second, micros%second
	if rest < 0 {
		s, rest = s-1, rest+second
	}
	if s < firstTime-pgEpoch || s >= endTime-pgEpoch {
		if p.bad == "" {
			p.bad = "it has a time that timestamptz cannot hold"
		}
		return time.Time{}
	}
	return time.Unix(s+pgEpoch, rest*1000).UTC()
}

func (p *leafParser) text() string {
	s := string(p.take(p.length()))
	if !utf8.ValidString(s) && p.bad == "" {
		p.bad = "it has a text that is not UTF-8"
	}
	return s
}

func (p *leafParser) uuid() (id [16]byte) {
	copy(id[:], p.take(len(id)))
	return id
}

// present reads the byte before a field that may be NULL.
func (p *leafParser) present() bool {
	b := p.take(1)
	if b != nil && b[0] > flagValue {
		p.bad = "the byte before a field is neither 00 nor 01"
	}
	return b != nil && b[0] == flagValue
}

func nullable[T any](p *leafParser, read func() T) *T {
	if !p.present() {
		return nil
	}
	v := read()
	return &v
}

func (p *leafParser) nullBytes() []byte {
	if !p.present() {
		return nil
	}
	return append([]byte{}, p.take(p.length())...)
}

func (p *leafParser) nullTexts() []string {
	if !p.present() {
		return nil
	}
	texts := []string{}
	for n := p.length(); n > 0 && p.bad == ""; n-- {
		texts = append(texts, p.text())
	}
	return texts
}
