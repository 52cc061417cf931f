// Package catalog reads what PostgreSQL knows of the governed tables: columns,
// keys, partitions with their real bounds, foreign keys, triggers, rules, row
// security, replica identity, indexes and publications.
//
// It guarantees that one [Read] costs a fixed handful of queries however many
// tables and partitions there are. It reads the catalogue only, never a row of
// a table, and judges nothing: what the facts mean is for package plan.
package catalog

import "slices"

// Catalog is the read schema, by "schema.table" with both parts as stored
// (unquoted).
type Catalog struct {
	Tables map[Name]*Table
}

// Name is a relation's schema and name as the catalogue stores them.
type Name struct{ Schema, Relation string }

// Kinds of relations, as in pg_class.relkind.
const (
	KindTable       = "r"
	KindPartitioned = "p"
)

// Replica identities, as in pg_class.relreplident.
const (
	IdentityDefault = "d"
	IdentityIndex   = "i"
	IdentityFull    = "f"
	IdentityNothing = "n"
)

// Table is one governed relation.
type Table struct {
	OID         uint32
	Name        Name
	Text        string // schema.table as the server writes it: quoted where needed
	Kind        string // pg_class.relkind
	Persistence string // p permanent, u unlogged, t temporary
	Owner       string
	OwnerSuper  bool // the owner is a superuser
	OwnerMember bool // sweeper_owner is a member of the owner
	IsPartition bool
	HasChildren bool // inheritance that is no partitioning
	RowSecurity bool // row security applies to the current role
	Rules       []string
	Rows        int64 // estimate, partitions included; -1 unknown

	Columns    []Column
	PrimaryKey []string // in key order
	Identity   string   // pg_class.relreplident
	Index      []string // columns of the replica identity index, in its order

	Strategy     string   // of a partitioned table: r RANGE, l LIST, h HASH
	PartitionKey []string // empty strings stand for expressions
	Leaves       []Leaf

	Referencing  []ForeignKey // foreign keys of other tables that point here
	Triggers     []Trigger
	Indexes      []Index
	Publications []string
}

// Column is one column of a table.
type Column struct {
	Name      string
	Number    int16
	Type      string // as SQL names it, without a length: usable in a cast
	TypeOID   uint32
	Base      string // the base type of a domain, else the type, as in pg_type.typname
	Category  string // pg_type.typcategory of Base: A array, N numeric, S string …
	Length    int32  // of character types, in characters; 0 none
	NotNull   bool
	Generated bool // generated or identity always
}

// Leaf is one partition that holds rows itself.
type Leaf struct {
	OID             uint32
	Name            Name
	Text            string // as Table.Text
	Direct          bool   // a child of the root itself, not of a sub-partition
	Kind            string // pg_class.relkind
	Default         bool
	Lower, Upper    string // bounds of a single-column RANGE key as text; "" none
	Identity        string
	IdentityColumns []string // what a DELETE shows in the WAL; empty when none
	DeleteTriggers  bool
	OwnerMember     bool
	Owner           string
}

// ForeignKey is one that points at the table.
type ForeignKey struct {
	Constraint string
	Table      Name     // the referencing table
	Columns    []string // its columns, in the order of Parents
	Parents    []string // the referenced columns
	OnDelete   string   // pg_constraint.confdeltype: a no action, r restrict, c cascade, n set null, d set default
	Indexed    bool     // an index of the referencing table begins with Columns
}

// Trigger is a user trigger that is not disabled.
type Trigger struct {
	Name               string
	OnDelete, OnUpdate bool
}

// Index is a valid index that covers the whole table.
type Index struct {
	Name    string
	Columns []string // empty strings stand for expressions
	Unique  bool
}

// Column finds a column by its exact name.
func (t *Table) Column(name string) (Column, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return t.Columns[i], true
}

// Key is what names a row in texts and in the purge log: the columns that the
// WAL shows of a deleted row, in key order. Empty when it shows none.
func (t *Table) Key() []string {
	switch t.Identity {
	case IdentityIndex:
		return t.Index
	case IdentityNothing:
		return nil
	}
	return t.PrimaryKey
}

// IndexedOn tells whether an index begins with column.
func (t *Table) IndexedOn(column string) bool {
	return slices.ContainsFunc(t.Indexes, func(i Index) bool { return len(i.Columns) > 0 && i.Columns[0] == column })
}
