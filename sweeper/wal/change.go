package wal

// Op is what happened to rows.
type Op byte

// The operations, by the letters of the protocol.
const (
	Insert   Op = 'I'
	Update   Op = 'U'
	Delete   Op = 'D'
	Truncate Op = 'T'
)

// String names the operation in lower case.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	}
	return "unknown"
}

// Relation is a table as the stream describes it: a leaf, when the table is
// partitioned. It is never changed after it was handed out; a changed table
// comes as a new Relation.
type Relation struct {
	OID          uint32
	Schema, Name string
	Columns      []Column // the published ones, in the table's order
	Key          []string // in key order
	Identity     byte     // pg_class.relreplident: d, i, f, n

	keyAt   []int    // positions of Key in Columns
	keyName [][]byte // lp(column), ready to be copied
	keyErr  error    // why rows cannot be named; told when one comes
}

// Column is one published column.
type Column struct {
	Name     string
	Type     uint32 // OID
	Identity bool   // part of the replica identity
}

// Change is a run of rows of one relation and one operation, in WAL order, or
// one TRUNCATE. It is valid until the next call of [Tx.Next].
type Change struct {
	Op       Op
	Relation *Relation // of a truncate: the first one

	// Relations are the tables that one TRUNCATE emptied.
	Relations []*Relation

	data  []byte // all rows' bytes, one after the other
	ends  []int  // end of each row in data
	cells []cell // inserts: len(Columns) for each row
}

// cell is where one column's text stands in Change.data; end < 0 is NULL.
type cell struct{ start, end int }

const (
	maxRows  = 2000      // rows of one Change
	maxBytes = 256 << 10 // bytes after which a Change is handed on
)

// Len is the number of rows; 0 for a truncate, whose rows the WAL does not tell.
func (c *Change) Len() int { return len(c.ends) }

// Key is the key of row i of an update or delete: lp(column) ‖ lp(text) for
// each key column, in key order, where lp(x) is a 4-byte big-endian length and
// the bytes. For an update that changed the key it is the old one. It is nil
// for inserts.
func (c *Change) Key(i int) []byte {
	if c.Op == Insert {
		return nil
	}
	start := 0
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.data[start:c.ends[i]:c.ends[i]]
}

// Value is the text of a column of row i of an insert; ok is false when it is
// NULL, when there is no such column, and for other operations.
func (c *Change) Value(i int, column string) (text string, ok bool) {
	if c.Op != Insert {
		return "", false
	}
	for n, col := range c.Relation.Columns {
		if col.Name != column {
			continue
		}
		at := c.cells[i*len(c.Relation.Columns)+n]
		if at.end < 0 {
			return "", false
		}
		return string(c.data[at.start:at.end]), true
	}
	return "", false
}

// full tells that no further row should be added.
func (c *Change) full() bool { return len(c.ends) >= maxRows || len(c.data) >= maxBytes }

// reset empties c for another run of rows, keeping its memory.
func (c *Change) reset(op Op, rel *Relation) {
	c.Op, c.Relation, c.Relations = op, rel, nil
	c.data, c.ends, c.cells = c.data[:0], c.ends[:0], c.cells[:0]
}

// addKey appends a row's key from its tuple.
func (c *Change) addKey(row []field) error {
	for n, at := range c.Relation.keyAt {
		if row[at].kind != 't' {
			return keyError(c.Relation, c.Relation.Columns[at].Name, row[at].kind)
		}
		c.data = append(c.data, c.Relation.keyName[n]...)
		c.data = appendLength(c.data, len(row[at].value))
		c.data = append(c.data, row[at].value...)
	}
	c.ends = append(c.ends, len(c.data))
	return nil
}

// addRow appends all columns of an inserted row.
func (c *Change) addRow(row []field) {
	for _, f := range row {
		at := cell{start: len(c.data), end: -1}
		if f.kind == 't' {
			c.data = append(c.data, f.value...)
			at.end = len(c.data)
		}
		c.cells = append(c.cells, at)
	}
	c.ends = append(c.ends, len(c.data))
}
