// Package catalog reads what PostgreSQL knows of the governed tables: columns,
// keys, partitions with their real bounds, foreign keys, triggers, rules, row
// security, replica identity, indexes and publications.
//
// It guarantees that one [Read] costs a fixed handful of queries however many
// tables and partitions there are. It reads the catalogue only, never a row of
// a table, and judges nothing: what the facts mean is for package plan.
package catalog

import "slices"

// Catalog is the read schema, by names as they are stored (unquoted).
type Catalog struct {
	Tables map[Name]*Table

	// Nearby are tables beside those that do not exist, for the message about
	// them: of the same schema, or of the same name but for case. At most 1000.
	Nearby []Name
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
	HasChildren bool  // inheritance that is no partitioning
	Rows        int64 // estimate by size and statistics, partitions included
	Bytes       int64 // of its rows on disk, partitions included, without indexes and TOAST

	// Hidden are the commands, of SELECT, UPDATE and DELETE, from which row
	// security could hide rows: those for which no permissive policy is "true",
	// or a restrictive one exists. Purger is the role that was asked about: the
	// current one where it may purge, else sweeper_daemon.
	Hidden []string
	Purger string

	RowSecurity bool // it is enabled, for whomever

	// Purging tells that the current role is Purger. May are the commands, of
	// SELECT, UPDATE and DELETE, that Purger has a privilege for, be it on one
	// column. All statements go through the root, so a leaf's own do not count.
	Purging bool
	May     []string

	Columns []Column
	// PrimaryKey is in key order, and empty when the key is deferrable: such a
	// one is no replica identity.
	PrimaryKey    []string
	KeyDeferrable bool
	Identity      string   // pg_class.relreplident
	Index         []string // columns of the replica identity index, in its order

	Strategy     string   // of a partitioned table: r RANGE, l LIST, h HASH
	PartitionKey []string // empty strings stand for expressions
	Leaves       []Leaf

	Referencing []ForeignKey // foreign keys that point here, or at a partition
	References  []ForeignKey // foreign keys of the table itself
	Checks      []Check
	Triggers    []Trigger
	Rules       []Rule
	Indexes     []Index
	Partial     []Index // those over some rows only, if they keep rows apart
	Views       []Name  // views and materialized views that read the table itself
	Definition  int64   // see [DefinitionSQL]

	// Publications are those that show every delete and truncate of the table,
	// leaf by leaf, and no insert; with updates when they are called …_redact.
	Publications []string
}

// Column is one column of a table.
type Column struct {
	Name      string
	Number    int16
	Type      string // as SQL names it, without a length: usable in a cast
	Exact     string // Type with its length, precision and scale: what is stored is this
	Plain     string // Exact of the type that a domain is made of; no check of a domain applies to it
	BaseType  string // Type of what a domain is made of: the cast of a hold's key, which no CHECK may refuse
	TypeOID   uint32
	Base      string   // the base type of a domain, else the type; of PostgreSQL's own types and citext the bare name, else schema.name
	Category  string   // pg_type.typcategory of Base: A array, N numeric, S string …
	Length    int32    // of character types, in characters (of name, in bytes); 0 none
	NotNull   bool     // by the column or its domain
	Generated bool     // generated or identity always
	From      []string // the columns that a generated one is made of

	// Operators is the schema of the type's own =, "" when its values have no
	// equality. A name alone would depend on search_path: citext would compare
	// as text. Ordered tells that < and > are there too.
	Operators string
	Ordered   bool

	// Textual tells that two values are equal when, and only when, their texts
	// are the same bytes: 1 and 1.0 of numeric are not, nor are texts of a
	// collation that ignores case.
	Textual bool
}

// Leaf is one partition that holds rows itself.
type Leaf struct {
	OID             uint32
	Name            Name
	Text            string // as Table.Text
	Direct          bool   // a child of the root itself, not of a sub-partition
	Kind            string // pg_class.relkind
	Persistence     string // pg_class.relpersistence
	Default         bool
	Lower, Upper    string // bounds of a single-column RANGE key as text; "" none
	Identity        string
	IdentityColumns []string // what a DELETE shows in the WAL; empty when none
	DeleteTriggers  bool
	Triggers        []Trigger // the leaf's own, without those that it has from the root
	OwnerMember     bool
	Owner           string
	Rows            int64 // as Table.Rows; -1 unknown
	Definition      int64
	Bytes           int64 // as Table.Bytes; of many leaves as of the last VACUUM or ANALYZE
}

// ForeignKey is one end of a foreign key.
type ForeignKey struct {
	Constraint string
	Table      Name     // the table at the other end
	Root       Name     // the partitioned table that Table is a partition of, else Table
	Leaf       uint32   // the partition that is pointed at; 0: the whole table
	Columns    []string // the referencing columns, in the order of Parents
	Parents    []string // the referenced columns
	Equal      []string // for each pair, the operator between parent and column, as SQL
	Collate    []string // for each pair, the collation that the comparison needs, as SQL; "" none
	OnDelete   string   // pg_constraint.confdeltype: a no action, r restrict, c cascade, n set null, d set default
	Indexed    bool     // an index of the referencing table begins with Columns
}

// Check is a check constraint that is enforced.
type Check struct {
	Name    string
	Columns []string
	SQL     string // the expression, over the columns' bare names
}

// Trigger is a user trigger that is not disabled.
type Trigger struct {
	Name               string
	Before             bool
	OnDelete, OnUpdate bool
}

// Rule is a rule that fires on statements which name the table. Those of a leaf
// do not fire on statements through the root.
type Rule struct {
	Name    string
	Command string // SELECT, UPDATE, INSERT or DELETE
	Instead bool   // the statement, or some of its rows, is left out
	Writes  []Name // tables that its actions insert into or update, each by its root; what a function does is not seen
	Deletes []Name // tables that they delete from
}

// Index is a valid index.
type Index struct {
	Name             string
	Method           string   // pg_am.amname
	Columns          []string // empty strings stand for expressions
	Expressions      []string // the columns that its expressions read
	Unique           bool
	NullsNotDistinct bool
	Excludes         bool     // that of an exclusion constraint
	Where            string   // the condition over the columns' bare names; "" it covers the whole table
	Reads            []string // the columns that Where reads
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
// WAL shows of a deleted row, in key order. Empty when it shows none. A
// partitioned table has no identity of its own: its leaves have theirs.
func (t *Table) Key() []string {
	switch {
	case t.Kind == KindPartitioned:
		return t.PrimaryKey
	case t.Identity == IdentityIndex:
		return t.Index
	case t.Identity == IdentityNothing:
		return nil
	}
	return t.PrimaryKey
}

// Led tells whether an index over the whole table begins with columns, in any
// order: whether a row is found by them without reading the table.
func (t *Table) Led(columns ...string) bool {
	return slices.ContainsFunc(t.Indexes, func(i Index) bool {
		return len(i.Columns) >= len(columns) && !slices.ContainsFunc(i.Columns[:len(columns)], func(c string) bool { return !slices.Contains(columns, c) })
	})
}

// SortedBy tells whether an index yields the rows in the order of column.
func (t *Table) SortedBy(column string) bool {
	return slices.ContainsFunc(t.Indexes, func(i Index) bool {
		return i.Method == "btree" && len(i.Columns) > 0 && i.Columns[0] == column
	})
}
