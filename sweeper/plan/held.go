package plan

import (
	"fmt"
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// A set of held keys is a string of bits, a power of two of them. The bit of
// each key that is on hold is set: the one at its hash, by the server, less what
// the length does not need. A value whose bit is clear is on no hold of the set's
// version. One whose bit is set may be, and so may every value once the version
// is another one, since keys have come: then the holds themselves are looked up.

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

// unlessFree ends a subquery of the holds whose key is the value of a column of
// the row t: it finds nothing, and looks for nothing, when the set shows that the
// value is on no hold. NULL shows nothing. OFFSET 0 keeps the server from reading
// all holds for the rows of one batch and has it look for those of each row,
// through the index over the keys. Where texts do not tell, that would not serve.
func (b *binder) unlessFree(part string, c catalog.Column) string {
	if !b.byKeys || !c.Textual {
		return ""
	}
	version, bits := b.keys()
	// The set stands in a sub-select, since a parameter's value would be copied into
	// the plan wherever it stands.
	return fmt.Sprintf(" AND ((%s) = %s AND get_bit((SELECT %s), %s & (octet_length(%[3]s)::int8 * 8 - 1)) = 0) IS NOT TRUE OFFSET 0",
		KeysVersionSQL, version, bits, keyHash("("+column(c.Name)+")::text", part))
}
