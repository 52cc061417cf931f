package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"slices"
	"time"
)

// Set is everything that policy files say, valid and with defaults filled in.
type Set struct {
	Files      []File     // sorted by base name
	Categories []Category // sorted by name

	// SHA256 covers the sources of Files and nothing else: neither where they
	// lie nor what they are called.
	SHA256 [32]byte

	// Free texts printed in reports; files that give one agree on it.
	Controller, Processor, Region string
}

// File is a policy file as it was read.
type File struct {
	Path   string
	Source []byte
}

// Category is one class of data with its windows.
type Category struct {
	Name, Description, Notes, Basis string

	Timezone string // IANA zone that periods are counted in; never empty

	Table            string // schema.table as written
	Schema, Relation string // its two names as they stand in the catalogue

	Subject, Tenant string // column names; "" when not given

	Where    []Condition // all must hold
	WhereSQL string      // where_sql, ANDed with Where; "" when not given

	Override *Override // nil: the minimum of the basis stands

	// Start is zero only where neither Redact nor Delete is set.
	Start    Start
	Restrict *Restrict // nil: nothing is hidden
	Redact   *Redact   // nil: nothing is redacted
	Delete   *Period   // nil: nothing is ever deleted

	// Unlimited is delete: {after: unlimited}: not only does the category not
	// delete, it keeps its rows from other categories over the same table.
	Unlimited bool

	Children []Child // in file order

	Window Window
	Lock   bool // the window may grow and never shrink, nor the category go

	Partitions string // drop, detach, rows, or "" to let the catalogue decide
	Manifest   string // none, count or digest
	Evidence   string // batch or row
	Schedule   Schedule
	Notify     *Period // notify.before; nil: nobody is told before
	Review     string  // none or required
	BulkFilter []string
	Limits     Limits
	Mode       string // enforce or observe
	Enabled    bool

	// NotApplied are the keys in use that this version does not apply, in the
	// order of the file. What purges refuses them, see [Set.Applicable].
	NotApplied []NotApplied

	At  Position            // the category's name
	Ats map[string]Position // by dotted key inside the category: "where.0.column", "redact.columns.email"
}

// Condition is one condition of where. Values holds string, int64, float64 or
// bool: none for is_null and not_null, one or more for in and not_in, else one.
type Condition struct {
	Column, Op string
	Values     []any
}

// Start names the column that retention is counted from, and what happened then.
type Start struct {
	Column, Event string

	Unit string // s, ms or us of an integer epoch; "": the column is a time

	// From is where the column lies when it is in another table.
	From *Elsewhere
}

// Elsewhere is the table that an event stands in.
type Elsewhere struct {
	Table            string // schema.table as written
	Schema, Relation string
	Match            []Match
	Pick             string // max or min of the events of one row; max when not given
}

// Match pairs a column of the other table with one of the governed table.
type Match struct {
	Other, Own string
}

// Override is why a window may go under the minimum of its basis, and by whom.
type Override struct {
	Reason, Approver string
}

// Restrict hides columns from the reading role and changes nothing.
type Restrict struct {
	After   Period
	Columns []string
}

// Window bounds delete.after, and the tenants' windows. Both ends are inclusive.
type Window struct {
	Min, Max    *Period // nil: no bound
	AllowedDays []int   // empty: every length
}

// Child is a table whose rows belong to rows of the category's table.
type Child struct {
	Table            string // schema.table as written
	Schema, Relation string
	Match            []Match // Other is the child's column, Own the parent's
	On               string  // delete or redact: the parent's disposition that it follows
	Action           string  // delete, nullify, redact or keep
	Columns          []Redaction
	Set              []Assignment
	Objects          *Objects
	Children         []Child // of the child
}

// Objects are what a child's column names in a bucket.
type Objects struct {
	Column, Bucket string
}

// Redact says which columns are overwritten, and when; both in file order.
type Redact struct {
	After   Period
	Columns []Redaction
	Set     []Assignment
}

// Strategy is how a column is redacted.
type Strategy string

// The strategies.
const (
	Null     Strategy = "null"     // NULL
	Zero     Strategy = "zero"     // the zero value of the column's type
	SetValue Strategy = "set"      // Redaction.Value, over NULL too
	HMAC     Strategy = "hmac"     // Redaction.Format with a keyed digest of the old value
	Truncate Strategy = "truncate" // cut to Redaction.Unit
	Mask     Strategy = "mask"     // every character is *, but the last Redaction.KeepLast
	JSON     Strategy = "json"     // Redaction.Paths of a json or jsonb
	Keep     Strategy = "keep"     // left alone, knowingly
)

// Redaction is what becomes of one column.
type Redaction struct {
	Column   string
	Strategy Strategy
	Value    any    // of SetValue: string, int64, float64 or bool
	Format   string // of HMAC: a text with exactly one %s
	Unit     string // of Truncate: year, month, day or hour
	KeepLast int    // of Mask: characters, 0 or more
	Paths    []JSONPath
}

// JSONPath is what becomes of one place in a document.
type JSONPath struct {
	Path   string // $.a.b or $.a[*].b
	Steps  []Step // its parts after $
	Action string // remove or null
}

// Assignment sets a column beside the redactions.
type Assignment struct {
	Column string
	Value  any // string, int64, float64 or bool
}

// Schedule is when a category is swept; exactly one of the two is set.
type Schedule struct {
	Cron  string // five fields, in the zone of the category
	Every time.Duration
}

// Limits bound one run.
type Limits struct {
	MaxRowsPerRun int64   // rows; 0: no limit
	MaxShare      float64 // share of a table's rows, 0 to 1; 0: no limit
	RowsPerSecond int     // of this category; 0: no limit
	MaxDeadShare  float64 // share of dead rows, 0 to 1, over which a run waits; 0: no limit
}

// Defaults is what the environment says where a file does not.
type Defaults struct {
	Timezone string // SWEEPER_TIMEZONE; "" is UTC

	AllowRawSQL bool // SWEEPER_ALLOW_RAW_SQL permits where_sql

	// Former reads policies that were in force once. They stay readable: what the
	// catalogue of regulations says today, and what categories say about each
	// other, is not held against them.
	Former bool
}

// byBaseName orders files so that it does not matter where they lie.
func byBaseName(a, b File) int {
	return cmp.Or(
		cmp.Compare(filepath.Base(a.Path), filepath.Base(b.Path)),
		slices.Compare(a.Source, b.Source),
	)
}

// hash covers the sources of files, which are sorted, each with its length: no
// two different lists of sources have the same bytes.
func hash(files []File) (sum [32]byte) {
	h := sha256.New()
	h.Write([]byte("sweeper/policies/v1\x00"))
	for _, f := range files {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(f.Source))))
		h.Write(f.Source)
	}
	h.Sum(sum[:0])
	return sum
}

// Step goes one level down in a document: to a member, or to each element.
type Step struct {
	Member string
	Each   bool // [*]; Member is ""
}
