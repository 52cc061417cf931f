// Package plan turns policies and the catalogue into steps with their SQL.
//
// It is the only place that builds SQL text. It is pure: it opens no
// connection and reads no clock, so equal input gives equal plans. It
// guarantees that every statement that deletes or changes a row carries the
// whole condition itself (due by the server's arithmetic in the policy's
// zone, the policy's where, no legal hold, nothing that references the row),
// so that a row changed between planning and purging is judged as it is then.
// A row whose start goes along with it, and before it, is the exception: its
// condition stands in statements of their own, Judge and Sure of a [Step],
// which the same transaction asks under the locks of all that goes.
// Names come from the catalogue and are quoted; values are parameters. It
// never decides by a cutoff: cutoffs are printed for people.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// Dispositions and kinds of steps.
const (
	Delete          = "delete"
	Redact          = "redact"
	DropPartition   = "drop_partition"
	DetachPartition = "detach_partition"
	Restrict        = "restrict" // hides, and is no step: see [Views]
)

// Walks: how the batches of a step follow one another without ever reading
// the same dead rows twice.
const (
	WalkStart     = "start"     // ranges of the start column, through its index
	WalkBlocks    = "blocks"    // ranges of the blocks of the table or leaf
	WalkPartition = "partition" // the partition goes whole
)

// Slack covers what month arithmetic, leap days and time zones can add
// between two starts and their due dates: a prefilter that is this much later
// than the cutoff never loses a due row.
const Slack = 4 * 24 * time.Hour

// Options are what a plan depends on beside policies and catalogue.
type Options struct {
	AsOf        time.Time // the instant the sweep judges by, from the database
	BatchRows   int       // largest batch, to estimate their number
	Publication string    // prefix of the publications
	HMACKey     []byte    // nil: redaction tokens are recognised by their shape alone, and no batch may run
	Windows     []Window  // of the tenants, as they are now

	// Still are categories that are left out, such as those that do not fit. It
	// has to name those too that must not run without them: see [Bound].
	Still map[string]bool
}

// Plan is what one sweep would do.
type Plan struct {
	AsOf         time.Time
	PolicySHA256 [32]byte
	Levels       [][]*Category // categories of one level may run beside each other; referencing tables come first
}

// Category is the planned part of one policy category.
type Category struct {
	Policy  policy.Category
	Table   *catalog.Table
	Hash    string // what an approval is bound to: policy, catalogue, partitions to drop
	Covered bool   // the table is in its publication
	Publish string // the SQL that publishes it, when it is not covered
	Counts  []Count
	Steps   []Step

	// Restricted counts the rows that are hidden; those are its due ones. nil: the
	// policy hides nothing.
	Restricted *Count

	// AtLeast counts rows of the category until they are $1; each query the
	// rows that the others do not have.
	AtLeast []Query

	rule rule
}

// Count is how the rows of a category are counted under one disposition.
type Count struct {
	Disposition string
	Cutoff      Query   // as-of less the period, for people
	Parts       []Part  // no row is in two of them
	Whole       bool    // every row is in one; else those that are only scheduled are missing
	Estimate    int64   // !Whole: rows of the table by its size and statistics
	Middle      []Query // !Whole and a where: SELECTs of the missing rows, for the planner's estimate of their number
}

// Part counts some of the rows. Its columns: leaf (an oid, 0 for a plain
// table), not_started, future, scheduled, held, blocked, due, oldest (the
// oldest due start). To be planned with its parameters' values: they spare the
// partitions that it has nothing to ask.
type Part struct {
	Query

	// Family sorts the due rows of the part anew, by the children that would go
	// along: leaf, held, blocked, due, oldest, and by what they are blocked. Empty:
	// none do.
	Family Query

	rule        rule
	disposition string
	span        span
}

// Step is one action on one relation, or on one partition of it.
type Step struct {
	Category  string
	Kind      string // delete, redact, drop_partition or detach_partition
	Relation  string // the root, as texts write it
	Partition string // the leaf, "" for a plain table
	Root      uint32
	Leaf      uint32 // oid; 0 for a plain table
	Walk      string
	Columns   []string // redacted columns, also those of set
	ByTenant  bool     // the batch returns rows per tenant
	Lanes     bool     // several batches of it may run beside each other

	// Judge tells which of the locked rows, whose places are $1, may go: not those
	// of which a row that would go along is held or kept. Kin are what goes along,
	// each before those below it. Empty: nothing does. Again looks at the rows alone,
	// of which Judge has said before that they may go. Both return the places of the
	// rows, their tenants, texts that tell the rows and their families apart, and the
	// number of the newest legal hold.
	Judge Query
	Again Query
	Kin   []Kin

	// Sure is asked again when all that goes along is locked, where a start lies in
	// it: until then it can change, and no statement that deletes the rows could tell,
	// since their start goes first. It is Again, or Judge for a start of what goes
	// along. Empty: no start lies there.
	Sure Query

	// Batch waits for rows that others have locked. It is empty where other tables
	// judge the rows: there only Lock and Taken will do.
	Batch Query // $1 and $2 bound the range, see Walk; $3 is the run, unless Total follows

	// Total reports $1 rows in the run $2, after a Batch or a Part that returns none:
	// the server has counted what they changed, and to have each row returned takes
	// it half as long again. It is empty where rows are reported by tenant.
	Total Query

	// Lock and Taken leave such rows where they are. They are empty where row
	// security would not let rows be locked. Without any of the three this plan is
	// not for running.
	Lock  Query // locks rows of the range $1 to $2, with WalkStart between the places $3 and $4; returns the places of those it has got, and how many it has left
	Taken Query // the work on the places $1; $2 is the run; where Sure is asked of the rows' own start, only that nothing is left to go along

	// Report follows Taken where a rule of the table lets no statement do both: then
	// Taken has no $2, and returns the tenant of each row, which Report takes as $1
	// and the run as $2. Batch and Part are empty there.
	Report Query

	Same      Query // whether the table and the leaf are still what the plan was made for; one that goes whole has none
	First     Query // WalkStart: the lowest start within reach, as text; no row or NULL: nothing to do
	Next      Query // WalkStart: $1 lower bound, $2 rows to skip: the next bound, as text
	Split     Query // WalkStart: between the starts $1 and $2 and the places $4 and $5, the first and last place of every $3 rows, as texts
	Part      Query // WalkStart: Batch between the places $3 and $4 too, before the run, for equal starts that are too many for one
	Scattered Query // WalkStart: whether $1 due rows are better found by blocks, as Heap does
	Heap      *Step // WalkStart: the same by blocks

	Probe Query // WalkPartition: whether every row is due and none held
	Drop  Query // WalkPartition: the installed function; $1 run, $2 reason, $3 actor, $4 policies' SHA-256, $5 cutoff
	Rows  *Step // WalkPartition: the same leaf by rows, when it may not go whole
}

// Name tells steps apart in locks and logs.
func (s *Step) Name() string {
	return strings.Join([]string{s.Category, s.Kind, s.Relation, s.Partition}, "/")
}

// Query is SQL with its fixed parameters; they follow those that vary. Those of a
// batch may have a place for a set of held keys, see [Query.With].
type Query struct {
	SQL  string
	Args []any
}

// Build plans the categories of set over the catalogue. Every reason why the
// policies do not fit the database is returned at once, as [policy.Error]s.
func Build(set policy.Set, cat *catalog.Catalog, o Options) (*Plan, error) {
	problems := Problems(set, cat)
	for name := range o.Still {
		delete(problems, name)
	}
	if err := Join(set, problems); err != nil {
		return nil, err
	}
	p := &Plan{AsOf: o.AsOf, PolicySHA256: set.SHA256}
	categories := make([]*Category, 0, len(set.Categories))
	for _, c := range set.Categories {
		if c.Enabled && !o.Still[c.Name] {
			categories = append(categories, buildCategory(c, set, cat, o))
		}
	}
	p.Levels = levels(categories)
	return p, nil
}

// LeaveOut takes categories out of the plan. The caller's concern is to name
// those too that must not run without them: see [Bound].
func (p *Plan) LeaveOut(out func(category string) bool) {
	for i := range p.Levels {
		p.Levels[i] = slices.DeleteFunc(p.Levels[i], func(c *Category) bool { return out(c.Policy.Name) })
	}
	p.Levels = slices.DeleteFunc(p.Levels, func(l []*Category) bool { return len(l) == 0 })
}

// Categories gives all of them, in the order in which they run.
func (p *Plan) Categories() []*Category { return slices.Concat(p.Levels...) }

// Set are the policies that the category was planned among.
func (c *Category) Set() policy.Set { return c.rule.set }

// SelfReferencing tells whether a foreign key of the table points at the table.
func (c *Category) SelfReferencing() bool {
	return slices.ContainsFunc(c.Table.Referencing, func(f catalog.ForeignKey) bool { return f.Root == c.Table.Name })
}

func buildCategory(pc policy.Category, set policy.Set, cat *catalog.Catalog, o Options) *Category {
	t := cat.Tables[catalog.Name{Schema: pc.Schema, Relation: pc.Relation}]
	publication := Publication(pc, set, o.Publication)
	c := &Category{Policy: pc, Table: t, Covered: slices.Contains(t.Publications, publication)}
	if !c.Covered {
		c.Publish = PublishSQL(publication, t)
	}
	r := rule{category: pc, table: t, catalog: cat, set: set, others: others(pc, set), options: o}
	c.rule, c.AtLeast = r, r.atLeast()
	c.coverKin(set, o.Publication)
	if pc.Delete != nil {
		c.Counts = append(c.Counts, r.count(Delete))
		c.Steps = append(c.Steps, r.deleteSteps()...)
	}
	if pc.Redact != nil {
		c.Counts = append(c.Counts, r.count(Redact))
		c.Steps = append(c.Steps, r.rowSteps(Redact)...)
	}
	if pc.Restrict != nil {
		restricted := r.count(Restrict)
		c.Restricted = &restricted
	}
	c.Hash = c.hash(set.SHA256, nil)
	return c
}

// Publication is the one that a category's table belongs to: a table is in
// exactly one, and in the one that publishes updates when any category
// redacts it.
func Publication(c policy.Category, set policy.Set, prefix string) string {
	return publicationOf(catalog.Name{Schema: c.Schema, Relation: c.Relation}, set, prefix)
}

func publicationOf(table catalog.Name, set policy.Set, prefix string) string {
	for _, c := range set.Categories {
		updates := c.Redact != nil && table == catalog.Name{Schema: c.Schema, Relation: c.Relation}
		descend(c.Children, "", func(child policy.Child, _ string) {
			updates = updates || childName(child) == table && ChildColumns(child) != nil
		})
		if updates {
			return prefix + "_redact"
		}
	}
	return prefix
}

// Published are the tables that the set's categories change, each with the
// publication that it belongs to.
func Published(set policy.Set, prefix string) map[catalog.Name]string {
	all := map[catalog.Name]string{}
	for _, c := range set.Categories {
		name := catalog.Name{Schema: c.Schema, Relation: c.Relation}
		all[name] = publicationOf(name, set, prefix)
		descend(c.Children, "", func(child policy.Child, _ string) {
			if child.Action != "keep" {
				all[childName(child)] = publicationOf(childName(child), set, prefix)
			}
		})
	}
	return all
}

// Kin are the tables whose rows go along with rows of the category's table, each
// once.
func (c *Category) Kin() []*catalog.Table {
	var all []*catalog.Table
	for _, disposition := range []string{Delete, Redact} {
		for _, k := range c.rule.kin(disposition) {
			if k.table != c.Table && !slices.Contains(all, k.table) {
				all = append(all, k.table)
			}
		}
	}
	return all
}

// coverKin leaves a category uncovered while a table whose rows go along is.
func (c *Category) coverKin(set policy.Set, prefix string) {
	for _, t := range c.Kin() {
		publication := publicationOf(t.Name, set, prefix)
		if slices.Contains(t.Publications, publication) {
			continue
		}
		if c.Covered = false; c.Publish != "" {
			c.Publish += " "
		}
		c.Publish += PublishSQL(publication, t)
	}
}

// PublishSQL is what the owner of a table runs to publish it.
func PublishSQL(publication string, t *catalog.Table) string {
	return fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s;", catalog.Quote(publication), t.Name.Quoted())
}

// others are the further categories over the same table that delete or keep for
// ever: a row under several of them goes when it is due under all. One that only
// observes has its say; a disabled one is not there.
func others(c policy.Category, set policy.Set) []policy.Category {
	var found []policy.Category
	for _, o := range set.Categories {
		if o.Name != c.Name && o.Enabled && o.Schema == c.Schema && o.Relation == c.Relation && (o.Delete != nil || o.Unlimited) {
			found = append(found, o)
		}
	}
	return found
}

// HashAfter is the hash that the category had in a plan as of the same instant,
// when the partitions that have been dropped since were still there.
func (p *Plan) HashAfter(c *Category, dropped []string) string {
	return c.hash(p.PolicySHA256, dropped)
}

// hash binds an approval to what was planned: the policies, the tenants' windows,
// the shape of the table, and the partitions that would go whole.
func (c *Category) hash(policies [32]byte, dropped []string) string {
	h := sha256.New()
	// The zone can come from the environment, which the policies' hash does not cover.
	fmt.Fprintf(h, "%x\n%s\n%s\n%d\n", policies, c.Policy.Name, c.Policy.Timezone, c.Table.OID)
	h.Write([]byte(c.rule.fingerprint()))
	shape := func(t *catalog.Table) {
		for _, col := range t.Columns {
			fmt.Fprintf(h, "%d %q %s %t %t\n", col.Number, col.Name, col.Type, col.NotNull, col.Generated)
		}
	}
	shape(c.Table)
	for _, t := range c.Kin() {
		fmt.Fprintf(h, "along %d\n", t.OID)
		shape(t)
	}
	drops := slices.Clone(dropped)
	for _, s := range c.Steps {
		if s.Walk == WalkPartition && !slices.Contains(drops, s.Partition) {
			drops = append(drops, s.Partition)
		}
	}
	slices.Sort(drops)
	for _, partition := range drops {
		fmt.Fprintf(h, "drop %s\n", partition)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// levels orders categories so that a referencing table is swept before the
// table it references. Lint has refused cycles.
func levels(categories []*Category) [][]*Category {
	depth := map[catalog.Name]int{}
	var measure func(t *catalog.Table) int
	byName := map[catalog.Name]*catalog.Table{}
	for _, c := range categories {
		byName[c.Table.Name] = c.Table
	}
	measure = func(t *catalog.Table) int {
		if d, ok := depth[t.Name]; ok {
			return d
		}
		depth[t.Name] = 0
		d := 0
		for _, fk := range t.Referencing {
			if child := byName[fk.Root]; child != nil && child != t {
				d = max(d, measure(child)+1)
			}
		}
		depth[t.Name] = d
		return d
	}
	var out [][]*Category
	for _, c := range categories {
		d := measure(c.Table)
		for len(out) <= d {
			out = append(out, nil)
		}
		out[d] = append(out[d], c)
	}
	return slices.DeleteFunc(out, func(l []*Category) bool { return len(l) == 0 })
}
