package plan

import (
	"fmt"
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// A set of held keys is a string of bits, a power of two of them. The bit of
// each key that is on hold is set: the one at its hash, by the server, less what
// the length does not need. A value whose bit is clear is on no hold of the set's
// version; of an empty set, no value is. One whose bit is set may be, and so may every
// value once the version is another one, since keys have come: then the holds
// themselves are looked up.

// KeysVersion and KeysBits are the types of arguments of a [Query] that stand for the
// set of held keys: nil pointers, in the place of which [Query.With] puts a set. Left
// as they are they are NULL, and the statement does without one.
type (
	KeysVersion struct{}
	KeysBits    struct{}
)

// With puts a set of held keys into the arguments, where they have a place for one.
func (q Query) With(version, bits any) Query {
	args := slices.Clone(q.Args)
	for i, arg := range args {
		switch arg.(type) {
		case *KeysVersion:
			args[i] = version
		case *KeysBits:
			args[i] = bits
		}
	}
	q.Args = args
	return q
}

// seeds keep a subject from setting the bit of the tenant of that name.
var seeds = map[string]int{"subject": 0, "tenant": 1}

// keyHash is what tells which bit is that of a text.
func keyHash(text, part string) string {
	return fmt.Sprintf(`hashtextextended(%s COLLATE "C", %d)`, text, seeds[part])
}

// KeysVersionSQL is the version of the set of held keys that is in force.
const KeysVersionSQL = `SELECT version FROM sweeper.hold_version`

// HeldKeys reads all that a set of held keys is made of, in one snapshot: its
// version in one row, beside NULL, and in each other row, beside NULL, the hash of a
// key. A hold with a subject and a tenant is found by the subject. Of holds that are
// over some keys may be among them.
func HeldKeys() Query {
	return Query{SQL: fmt.Sprintf(`SELECT version::text, NULL::int8 FROM sweeper.hold_version
UNION ALL SELECT NULL, %s FROM sweeper.hold_keys k WHERE k.part = 'subject' AND k.value IS NOT NULL
UNION ALL SELECT NULL, %s FROM sweeper.legal_holds h JOIN sweeper.hold_keys k ON k.hold_id = h.hold_id AND k.part = 'tenant'
 WHERE h.subject IS NULL AND h.released_at IS NULL AND k.value IS NOT NULL`, keyHash("k.value", "subject"), keyHash("k.value", "tenant"))}
}

// bindHeld is bind for a statement that may go by a set of held keys.
func bindHeld(varying int) *binder {
	b := bind(varying)
	b.byKeys = true
	return b
}

// keys are the parameters of the set of held keys.
func (b *binder) keys() (version, bits string) {
	if b.version == "" {
		b.args = append(b.args, (*KeysVersion)(nil), (*KeysBits)(nil))
		b.version, b.bits = fmt.Sprintf("$%d::uuid", b.varying+len(b.args)-1), fmt.Sprintf("$%d::bytea", b.varying+len(b.args))
	}
	return b.version, b.bits
}

// hold is a shape of legal holds, which a row t may be under.
type hold struct {
	from string // and what follows it, in a query of the holds over the row, called h
	free string // true only of a row that is on none of them, as the set of held keys shows; "": no set can
}

// ids are those of the holds.
func (h hold) ids() string { return "SELECT h.hold_id " + h.from }

// on is that the row is under one of them. What the set shows stands before the
// subquery: to begin one costs as much as to look. OFFSET 0 keeps the server from
// reading all holds for the rows of one batch and has it look for those of each row,
// through the index over the keys.
func (h hold) on() string {
	if h.free == "" {
		return "EXISTS (SELECT " + h.from + ")"
	}
	return fmt.Sprintf("((%s) IS NOT TRUE AND EXISTS (SELECT %s OFFSET 0))", h.free, h.from)
}

// off is that it is under none.
func (h hold) off() string {
	if h.free == "" {
		return "NOT EXISTS (SELECT " + h.from + ")"
	}
	return fmt.Sprintf("((%s) IS TRUE OR NOT EXISTS (SELECT %s OFFSET 0))", h.free, h.from)
}

// free is that the set shows the value of a column of the row t to be on no hold: an
// empty one shows it of all values, one with keys nothing of NULL. Where texts do not
// tell, the index over the keys, and so the set, would not serve.
func (b *binder) free(part string, c catalog.Column) string {
	if !b.byKeys || !c.Textual {
		return ""
	}
	version, bits := b.keys()
	// Each of the sub-selects is computed once. And a parameter's value would be
	// copied into the plan wherever it stands.
	return fmt.Sprintf("(SELECT version = %s FROM sweeper.hold_version) AND ((SELECT octet_length(%s) = 0) OR get_bit((SELECT %[2]s), %[3]s & (SELECT octet_length(%[2]s)::int8 * 8 - 1)) = 0)",
		version, bits, keyHash("("+column(c.Name)+")::text", part))
}
