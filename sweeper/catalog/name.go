package catalog

import (
	"regexp"

	"github.com/jackc/pgx/v5"
)

var plain = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// String writes the name for messages: schema.table, each part quoted where it
// is not a plain lower-case name. What is stored is [Table.Text], which the
// server writes and which quotes reserved words too.
func (n Name) String() string { return part(n.Schema) + "." + part(n.Relation) }

// Quoted writes the name for SQL, both parts quoted.
func (n Name) Quoted() string { return pgx.Identifier{n.Schema, n.Relation}.Sanitize() }

// Quote writes one identifier for SQL.
func Quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func part(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return Quote(s)
}
