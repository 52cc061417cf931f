package modeltest_test

import (
	"slices"
	"strings"
	"time"
)

// table is one of the application's, as the model knows it.
type table struct {
	name    string            // without the schema
	key     []string          // of the primary key, in order
	types   map[string]string // of the columns that the model reads
	foreign []foreign         // keys of other tables that point at this one
	events  bool              // starts of another table are in it
	logged  bool              // a policy changes it, so that the log hears of everybody's deletions
	leaves  bool              // it is partitioned, and has no rows itself
}

// foreign is a foreign key: column of table points at id of the table that has
// it.
type foreign struct{ table, column string }

// record is a row as the witness saw it last. A column that is NULL is not in it.
type record struct {
	leaf string
	v    map[string]string
	at   time.Time // of the commit that wrote it
}

// state is what the application's tables hold, by table and key.
type state struct {
	tables map[string]*table
	rows   map[string]map[string]*record
}

func newState(tables map[string]*table) *state {
	s := &state{tables: tables, rows: map[string]map[string]*record{}}
	for name := range tables {
		s.rows[name] = map[string]*record{}
	}
	return s
}

// rootOf is the table that a leaf belongs to: leaves are named table_leaf.
func (s *state) rootOf(leaf string) *table {
	if t := s.tables[leaf]; t != nil {
		return t
	}
	root, _, _ := strings.Cut(leaf, "_")
	return s.tables[root]
}

func (t *table) keyOf(v map[string]string) string {
	parts := make([]string, len(t.key))
	for i, k := range t.key {
		parts[i] = v[k]
	}
	return strings.Join(parts, "|")
}

// matching are the rows of a table whose column has a value.
func (s *state) matching(table, column, value string) (all []*record) {
	for _, key := range s.keys(table) {
		if r := s.rows[table][key]; r.v[column] == value {
			all = append(all, r)
		}
	}
	return all
}

// keys are those of a table's rows, sorted, so that equal states are judged
// alike.
func (s *state) keys(table string) []string {
	keys := make([]string, 0, len(s.rows[table]))
	for key := range s.rows[table] {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// hold is a legal hold.
type hold struct {
	subject, tenant, category, relation string // "": none
	expires                             time.Time
	expiring, released                  bool
}

// active tells whether a hold was in force: one that expires before the batch
// that it would stop has written its stamp, may or may not have been.
func (h hold) active(at time.Time) bool {
	return !h.released && (!h.expiring || h.expires.After(at))
}

// canonical is a subject as its column writes it.
func canonical(text, typ string) string {
	switch {
	case text == "":
		return ""
	case typ == "uuid":
		return strings.ToLower(text)
	case typ == "integer":
		if text = strings.TrimLeft(text, "0"); text == "" {
			return "0"
		}
	}
	return text
}
