package plan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// TokenLength is the length of what replaces %s in {hmac: …}, in hex digits.
const TokenLength = 32

// Redacted names the columns that a category's redaction writes, in the
// policy's order; nil when it redacts nothing.
func Redacted(c policy.Category) []string {
	if c.Redact == nil {
		return nil
	}
	var names []string
	for _, r := range c.Redact.Columns {
		if r.Strategy != policy.Keep {
			names = append(names, r.Column)
		}
	}
	for _, s := range c.Redact.Set {
		names = append(names, s.Column)
	}
	return names
}

// assignments is the SET list. NULL stays NULL under every strategy but set.
func (r rule) assignments(b *binder) string {
	var parts []string
	for _, c := range r.category.Redact.Columns {
		if c.Strategy == policy.Keep {
			continue
		}
		col, _ := r.table.Column(c.Column)
		parts = append(parts, catalog.Quote(c.Column)+" = "+r.redaction(b, col, c).value)
	}
	for _, s := range r.category.Redact.Set {
		col, _ := r.table.Column(s.Column)
		parts = append(parts, catalog.Quote(s.Column)+" = "+literal(b, col, s.Value))
	}
	return strings.Join(parts, ", ")
}

// pending is that some column is not yet what the redaction makes of it, so
// that a second sweep finds nothing to do.
func (r rule) pending(b *binder) string {
	var parts []string
	for _, c := range r.category.Redact.Columns {
		if c.Strategy == policy.Keep {
			continue
		}
		col, _ := r.table.Column(c.Column)
		parts = append(parts, r.redaction(b, col, c).pending)
	}
	for _, s := range r.category.Redact.Set {
		col, _ := r.table.Column(s.Column)
		parts = append(parts, differs(b, col, s.Value))
	}
	return strings.Join(parts, " OR ")
}

// redaction is one column's new value, and the condition that it has not got
// it yet.
type redaction struct{ value, pending string }

func (r rule) redaction(b *binder, col catalog.Column, c policy.Redaction) redaction {
	name := column(col.Name)
	switch c.Strategy {
	case policy.Null:
		return redaction{"NULL", name + " IS NOT NULL"}
	case policy.Zero:
		zero, compare := zeroOf(col)
		return redaction{
			fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN %s END", name, zero),
			fmt.Sprintf("(%s IS NOT NULL AND %s)", name, compare),
		}
	case policy.HMAC:
		return r.token(b, col, c.Format)
	case policy.Truncate:
		return r.truncation(b, col, c.Unit)
	case policy.Mask:
		return mask(col, c.KeepLast)
	case policy.JSON:
		return document(b, col, c.Paths)
	}
	return redaction{literal(b, col, c.Value), differs(b, col, c.Value)}
}

// truncation cuts a date or a time to its unit, on the wall clock of the policy's
// zone. Where a clock change has left out the moment it is cut to, the server
// takes the next one there is, and of that makes the same again.
func (r rule) truncation(b *binder, col catalog.Column, unit string) redaction {
	name := column(col.Name)
	cut := fmt.Sprintf("date_trunc('%s', %s)", unit, name)
	switch col.Base {
	case "timestamptz":
		zone := b.text(r.category.Timezone, "text")
		cut = fmt.Sprintf("timezone(%s, date_trunc('%s', timezone(%s, %s)))", zone, unit, zone, name)
	case "date":
		cut = fmt.Sprintf("date_trunc('%s', %s::timestamp)::date", unit, name)
	}
	return redaction{cut, fmt.Sprintf("%s <> %s", name, cut)}
}

// mask makes every character a * but the last ones. The length stays, so a value
// that is no longer than what is kept stays as it is.
func mask(col catalog.Column, keep int) redaction {
	value := column(col.Name) + "::text"
	masked := fmt.Sprintf("repeat('*', length(%[1]s) - %[2]d) || right(%[1]s, %[2]d)", value, keep)
	// Byte by byte: a collation may take the one for the other.
	return redaction{fmt.Sprintf("(%s)::%s", masked, col.Exact), fmt.Sprintf(`%s COLLATE "C" <> %s`, value, masked)}
}

// document changes places inside of a document. Where there is nothing to change
// sweeper.redact_json returns it byte for byte.
func document(b *binder, col catalog.Column, paths []policy.JSONPath) redaction {
	name := column(col.Name)
	changed := name + "::json"
	for _, p := range paths {
		steps := make([]string, len(p.Steps))
		for i, s := range p.Steps {
			steps[i] = "NULL"
			if !s.Each {
				steps[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.Member) + `"`
			}
		}
		changed = fmt.Sprintf("sweeper.redact_json(%s, %s, %t)", changed, b.text("{"+strings.Join(steps, ",")+"}", "text[]"), p.Action == "remove")
	}
	if col.Base == "jsonb" {
		changed += "::jsonb"
		return redaction{changed, fmt.Sprintf("%s::jsonb <> %s", name, changed)}
	}
	return redaction{changed, fmt.Sprintf(`%s::text COLLATE "C" <> %s::text`, name, changed)}
}

// token replaces a value by digits keyed by it. With the key a token of ours is
// recognised for certain; without it, for counting alone, by its shape.
func (r rule) token(b *binder, col catalog.Column, format string) redaction {
	name := column(col.Name)
	prefix, suffix, _ := strings.Cut(format, "%s")
	pre, suf := b.text(prefix, "text"), b.text(suffix, "text")
	digits := fmt.Sprintf("substr(%s::text, length(%s) + 1, %d)", name, pre, TokenLength)
	framed := fmt.Sprintf("%[1]s::text = %[2]s || %[3]s || %[4]s", name, pre, digits, suf)
	if r.options.HMACKey == nil {
		return redaction{"", fmt.Sprintf("(%s IS NOT NULL AND NOT (%s AND %s ~ '^[0-9a-f]{%d}$'))", name, framed, digits, TokenLength)}
	}
	inner, outer := columnKey(r.options.HMACKey, r.table.Text, col.Name)
	i, o := b.bytes(inner), b.bytes(outer)
	return redaction{
		fmt.Sprintf("(%s || sweeper.redaction_token(%s::text, %s, %s) || %s)::%s", pre, name, i, o, suf, col.Exact),
		fmt.Sprintf("(%s IS NOT NULL AND NOT (%s AND sweeper.is_redaction_token(%s, %s, %s)))", name, framed, digits, i, o),
	}
}

// columnKey derives a column's own key, so that the server's log, which can
// print parameters, never sees the key of the row commitments. It returns the
// key xor-ed with the pads of RFC 2104, as sweeper.redaction_hmac takes it.
func columnKey(key []byte, relation, column string) (inner, outer []byte) {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("sweeper/redaction/v1"))
	for _, field := range []string{relation, column} {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(field))))
		mac.Write([]byte(field))
	}
	derived := make([]byte, sha256.BlockSize)
	copy(derived, mac.Sum(nil))
	inner, outer = slices.Clone(derived), derived
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	return inner, outer
}

// keyless is a redaction whose statement needs the key that the plan was made
// without. Such a plan counts and shows, and cannot run.
func (r rule) keyless(disposition string) bool {
	hmac := func(c policy.Redaction) bool { return c.Strategy == policy.HMAC }
	return r.options.HMACKey == nil && (disposition == Redact && slices.ContainsFunc(r.category.Redact.Columns, hmac) ||
		slices.ContainsFunc(r.kin(disposition), func(k *kin) bool { return slices.ContainsFunc(k.child.Columns, hmac) }))
}

// literal is a value as the column stores it: rounded to its scale, so that
// differs does not take the rounding for a difference.
func literal(b *binder, col catalog.Column, value any) string {
	if value == nil {
		return "NULL"
	}
	return b.text(text(value), col.Exact)
}

// differs compares as texts where the type has no equality, or one that takes
// different texts for equal.
func differs(b *binder, col catalog.Column, value any) string {
	name := column(col.Name)
	switch {
	case value == nil:
		return name + " IS NOT NULL"
	case col.Operators != "pg_catalog":
		return fmt.Sprintf("%s::text IS DISTINCT FROM %s::text", name, literal(b, col, value))
	}
	return fmt.Sprintf("%s IS DISTINCT FROM %s", name, literal(b, col, value))
}

// zeros are the values of `zero`, by base type.
var zeros = map[string]string{
	"text": "''", "varchar": "''", "bpchar": "''", "citext": "''",
	"int2": "0", "int4": "0", "int8": "0", "float4": "0", "float8": "0", "numeric": "0", "money": "0",
	"bool": "false", "json": "'null'", "jsonb": "'null'", "uuid": "'00000000-0000-0000-0000-000000000000'",
	"inet": "'0.0.0.0'", "cidr": "'0.0.0.0/32'",
	"date": "'1970-01-01'", "timestamp": "'1970-01-01'", "timestamptz": "'1970-01-01 00:00:00+00'",
	"time": "'00:00:00'", "timetz": "'00:00:00+00'",
}

// zeroLiteral is the zero of a column as SQL without its type; "" when it has
// none, or none that is the same for each row.
func zeroLiteral(col catalog.Column) string {
	if col.Category == "A" && strings.HasSuffix(col.Plain, "[]") {
		return "'{}'"
	}
	return zeros[col.Base]
}

// zeroOf is the zero of a column, and the condition that it differs from it.
func zeroOf(col catalog.Column) (zero, compare string) {
	name := column(col.Name)
	zero = zeroLiteral(col) + "::" + col.Type
	switch {
	case col.Base == "bytea":
		zero = fmt.Sprintf("decode(repeat('00', octet_length(%s)), 'hex')::%s", name, col.Type)
	case zeroLiteral(col) == "":
		return "", ""
	case col.Base == "json": // has no equality
		return zero, name + "::text <> 'null'"
	case zeroLiteral(col) == "'{}'": // the elements may have none
		return zero, fmt.Sprintf("cardinality(%s) <> 0", name)
	}
	return zero, name + " <> " + zero
}
