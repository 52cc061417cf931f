package sweeper

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// Account is what stands behind the numbers of one disposition of a category.
type Account struct {
	HeldBy    []HeldBy      // of the holds that keep most rows, at most [plan.MostHolds]
	BlockedBy []BlockedBy   // what keeps a row; one that two things keep counts for both
	Children  []ChildRows   // of the child tables whose rows go along
	Dropped   []DroppedLeaf // the partitions that go whole
	Kept      []KeptLeaf    // the other ones, of a deletion
	Estimate  Estimate      // of the work
	WalkWhy   string        // why the steps walk as they do; "" no step
}

// HeldBy is a legal hold and how many due rows it keeps.
type HeldBy struct {
	HoldID int64 `json:"hold_id"`
	Rows   int64 `json:"rows"`
}

// BlockedBy is what keeps due rows, and how many.
type BlockedBy struct {
	By   string `json:"by"`
	Rows int64  `json:"rows"`
}

// ChildRows are the rows of a child table that go along with due rows.
type ChildRows struct {
	Relation string `json:"relation"`
	Action   string `json:"action"`
	Rows     int64  `json:"rows"`
}

// DroppedLeaf is a partition that goes whole.
type DroppedLeaf struct {
	Partition string `json:"partition"`
	Rows      int64  `json:"rows"`
}

// KeptLeaf is a partition that does not go whole. Rows of it may go one by one.
type KeptLeaf struct {
	Partition string     `json:"partition"`
	Reason    string     `json:"reason"`
	Rows      *int64     `json:"rows"`  // that keep it; nil: not its rows do
	Until     *time.Time `json:"until"` // when its bound lets it go; nil: not its bound keeps it
}

// Estimate is what the rows of a disposition may cost.
type Estimate struct {
	WALBytes      int64
	Seconds       float64
	RowsPerSecond float64
	Measured      bool // the rate is that of earlier runs on this database, else DefaultRate
	Limited       bool // the rate is a limit of rows a second, as work without one would be faster
}

// DefaultRate is what a purge is taken to do where none has run yet, in rows
// per second.
const DefaultRate = 50_000

// What the write-ahead log gets for one row beside the images of the pages it
// was on, in bytes: the record with its key and the row's commitment in the
// purge log, and one entry in each index for a row that is written anew. A
// page's image is written once after each checkpoint, and then counts like the
// rows on it. Measured on PostgreSQL 15 with rows of 158 bytes and two indexes:
// 229 for a delete and 497 for an update, commitments apart.
const (
	recordBytes = 112
	entryBytes  = 55
	dropBytes   = 32 << 10 // of the catalogue, for a partition
)

// dropSeconds is what a partition that goes whole is taken to last beside the
// reading of its rows.
const dropSeconds = 0.05

// detail asks for what stands behind the states of each disposition.
func detail(ctx context.Context, conn *pgx.Conn, cfg Config, c *plan.Category, all []purge.States) ([]Account, error) {
	rate, measured, err := readRate(ctx, conn, c.Policy.Name)
	if err != nil {
		return nil, err
	}
	limited := false
	if limit := float64(limitsOf(cfg, c).RowsPerSecond); limit > 0 && limit < rate {
		rate, limited = limit, true
	}
	details := make([]Account, len(all))
	for i, s := range all {
		d := &details[i]
		d.WalkWhy = c.WalkReason(s.Disposition)
		if s.Disposition == plan.Delete {
			d.partitions(c, s)
		}
		for j := range c.Counts[i].Parts {
			if err := d.add(ctx, conn, c, &c.Counts[i].Parts[j], s.Parts[j]); err != nil {
				return nil, pg.Wrap("look behind the numbers of category "+c.Policy.Name, err)
			}
		}
		for _, k := range s.Keepers {
			d.BlockedBy = append(d.BlockedBy, BlockedBy{By: k.Name, Rows: k.Rows})
		}
		d.order()
		d.Estimate = d.estimate(c, s)
		d.Estimate.RowsPerSecond, d.Estimate.Measured, d.Estimate.Limited = rate, measured, limited
		d.Estimate.Seconds += float64(d.byRows(s)) / rate
	}
	return details, nil
}

// add asks for one part of the rows.
func (d *Account) add(ctx context.Context, conn *pgx.Conn, c *plan.Category, p *plan.Part, t purge.Tally) error {
	if t.Held > 0 {
		q := p.HeldBy()
		rows, err := conn.Query(ctx, q.SQL, purge.Valued(q)...)
		if err != nil {
			return err
		}
		held, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HeldBy])
		if err != nil {
			return err
		}
		for _, h := range held {
			i := slices.IndexFunc(d.HeldBy, func(x HeldBy) bool { return x.HoldID == h.HoldID })
			if i < 0 {
				d.HeldBy = append(d.HeldBy, h)
				continue
			}
			d.HeldBy[i].Rows += h.Rows
		}
	}
	if t.Blocked > 0 && len(c.Blockers()) > 0 {
		q := p.BlockedBy()
		var counts []int64
		if err := conn.QueryRow(ctx, q.SQL, purge.Valued(q)...).Scan(&counts); err != nil {
			return err
		}
		for i, by := range c.Blockers() {
			if len(d.BlockedBy) <= i {
				d.BlockedBy = append(d.BlockedBy, BlockedBy{By: by})
			}
			d.BlockedBy[i].Rows += counts[i]
		}
	}
	if t.Due == 0 {
		return nil
	}
	for i, child := range p.Children() {
		var n int64
		if err := conn.QueryRow(ctx, child.SQL, purge.Valued(child.Query)...).Scan(&n); err != nil {
			return err
		}
		if len(d.Children) <= i {
			d.Children = append(d.Children, ChildRows{Relation: child.Relation, Action: child.Action})
		}
		d.Children[i].Rows += n
	}
	return nil
}

// order brings what was gathered part by part into the order of the numbers.
func (d *Account) order() {
	slices.SortStableFunc(d.HeldBy, func(a, b HeldBy) int {
		if a.Rows != b.Rows {
			return int(max(-1, min(1, b.Rows-a.Rows)))
		}
		return int(max(-1, min(1, a.HoldID-b.HoldID)))
	})
	if len(d.HeldBy) > plan.MostHolds {
		d.HeldBy = d.HeldBy[:plan.MostHolds]
	}
	d.BlockedBy = slices.DeleteFunc(d.BlockedBy, func(b BlockedBy) bool { return b.Rows == 0 })
	slices.SortStableFunc(d.BlockedBy, func(a, b BlockedBy) int { return int(max(-1, min(1, b.Rows-a.Rows))) })
}

// partitions sorts the leaves into those that go whole, as far as the rows in
// them are known now, and the others. What keeps them is judged again under a
// lock when they are dropped.
func (d *Account) partitions(c *plan.Category, s purge.States) {
	for _, l := range c.Dropped() {
		t := s.Leaves[l.OID]
		switch young := t.NotStarted + t.Future + t.Scheduled; {
		case t.Held > 0:
			d.Kept = append(d.Kept, KeptLeaf{Partition: l.Text, Reason: "rows in it are under a legal hold", Rows: &t.Held})
		case young > 0:
			d.Kept = append(d.Kept, KeptLeaf{Partition: l.Text, Reason: "rows in it are not due", Rows: &young})
		default:
			d.Dropped = append(d.Dropped, DroppedLeaf{l.Text, t.Due})
		}
	}
	for _, k := range c.Kept() {
		kept := KeptLeaf{Partition: k.Partition, Reason: k.Reason}
		if !k.Until.IsZero() {
			kept.Until = &k.Until
		}
		d.Kept = append(d.Kept, kept)
	}
}

// ChildCount is how many rows of children go along.
func (d *Account) ChildCount() (rows int64) {
	for _, c := range d.Children {
		rows += c.Rows
	}
	return rows
}

// byRows are the rows that go one by one, children included.
func (d *Account) byRows(s purge.States) int64 {
	rows := s.Due + d.ChildCount()
	for _, l := range d.Dropped {
		rows -= l.Rows
	}
	return max(rows, 0)
}

func (d *Account) estimate(c *plan.Category, s purge.States) Estimate {
	perRow := int64(100) // of a table of which nothing is known
	if c.Table.Rows > 0 && c.Table.Bytes > 0 {
		perRow = c.Table.Bytes / c.Table.Rows
	}
	cost := perRow + recordBytes
	if s.Disposition == plan.Redact {
		cost += perRow + entryBytes*int64(len(c.Table.Indexes))
	}
	dropped := int64(len(d.Dropped))
	return Estimate{WALBytes: d.byRows(s)*cost + dropped*dropBytes, Seconds: float64(dropped) * dropSeconds}
}

// rateSQL is the rate of the last runs that went by rows and were long enough to
// tell: those of the category, else those of all.
const rateSQL = `
	select sum(rows)::float8, sum(seconds)::float8 from (
	  select deleted + redacted as rows, extract(epoch from finished_at - started_at) as seconds, category = $1 as own,
	         bool_or(category = $1) over () as any_own
	    from sweeper.runs
	   where state in ('succeeded', 'partial') and deleted + redacted >= 1000 and partitions_dropped = 0 and finished_at > started_at
	   order by category = $1 desc, started_at desc limit 10) r
	 where own or not any_own`

func readRate(ctx context.Context, conn *pgx.Conn, category string) (rate float64, measured bool, err error) {
	var rows, seconds *float64
	if err := conn.QueryRow(ctx, rateSQL, category).Scan(&rows, &seconds); err != nil {
		return 0, false, pg.Wrap("read how fast earlier runs were", err)
	}
	if rows == nil || *seconds <= 0 {
		return DefaultRate, false, nil
	}
	return *rows / *seconds, true, nil
}

// estimateScheduled asks the planner how many rows of a policy's where are only
// scheduled, where they were not counted: the size of the table says nothing of
// a where.
func estimateScheduled(ctx context.Context, conn *pgx.Conn, c *plan.Category, all []purge.States) error {
	for i, count := range c.Counts {
		s := &all[i]
		if len(count.Middle) == 0 {
			continue
		}
		s.Total -= s.Scheduled
		s.Scheduled = 0
		for _, part := range s.Parts {
			s.Scheduled += part.Scheduled
		}
		for _, q := range count.Middle {
			var text []byte
			if err := conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+q.SQL, purge.Valued(q)...).Scan(&text); err != nil {
				return pg.Wrap("estimate the rows of category "+c.Policy.Name, err)
			}
			var explained []struct {
				Plan struct {
					Rows float64 `json:"Plan Rows"`
				}
			}
			if err := json.Unmarshal(text, &explained); err != nil || len(explained) != 1 {
				return fmt.Errorf("estimate the rows of category %s: the server's plan is not what was expected", c.Policy.Name)
			}
			s.Scheduled += int64(explained[0].Plan.Rows)
		}
		s.Total += s.Scheduled
	}
	return nil
}
