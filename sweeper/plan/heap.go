package plan

import "fmt"

// orderly is the correlation, by the server's statistics, below which rows lie in
// another order than that of their starts, so that a range of starts is spread
// over the whole table.
const orderly = 0.5

// scattered asks whether $1 due rows are better found by blocks: where they lie in
// disorder, and are more than there are blocks, a walk by starts comes to most of
// them several times.
func (w walk) scattered() Query {
	b := bind(1)
	oid := w.table.OID
	if w.leaf != nil {
		oid = w.leaf.OID
	}
	return b.query(fmt.Sprintf(`SELECT count(*) > 0 FROM pg_stats s
JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
WHERE c.oid = %s AND s.attname = %s AND NOT s.inherited AND abs(s.correlation) < %g AND c.relpages > 0 AND c.relpages < $1::int8`,
		b.text(fmt.Sprint(oid), "oid"), b.text(w.start().Name, "name"), orderly))
}

// heap is a step by starts, by blocks.
func (w walk) heap() *Step {
	s := w.step
	s.Walk = WalkBlocks
	s.First, s.Next, s.Split, s.Part, s.Scattered = Query{}, Query{}, Query{}, Query{}, Query{}
	if s.Lock.SQL != "" {
		s.Lock = w.lock(bindHeld(2), inBlocks)
	}
	if s.Batch.SQL != "" {
		s.Batch = w.ranged(2, inBlocks)
	}
	return &s
}

// inBlocks are the rows of the blocks from $1 to before $2.
const inBlocks = "t.ctid >= $1::tid AND t.ctid < $2::tid"
