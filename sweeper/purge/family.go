package purge

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// family is what goes along with the rows of a batch.
type family struct {
	run  *run
	tx   pgx.Tx
	step *plan.Step
	done *done
	rows []members // of each kin of the step

	undone int64 // rows that went along and are as they were

	known *known
}

// known are rows whose whole families were found free to go, and have not gone as
// a whole yet: a family is larger than a batch. To judge one again in each of its
// batches would take longer than all else. What a batch takes of a family is
// judged by itself all the same, and all of it when there is a new hold.
type known struct {
	hold int64           // the newest hold there was
	rows map[string]bool // by their identities

	pieces int   // batches that took some of what belongs to these very rows, and none of the rows
	looked int   // at how many of them it was counted what is left
	left   int64 // what that was
}

func (k *known) keep(good members) {
	same := len(k.rows) == len(good.identities)
	rows := make(map[string]bool, len(good.identities))
	for _, id := range good.identities {
		same = same && k.rows[id]
		rows[id] = true
	}
	if !same {
		k.pieces, k.looked = 0, 0
	}
	k.hold, k.rows = good.hold, rows
}

// went notes what a batch has done, when it is committed.
func (k *known) went(d done) {
	if d.more && d.rows == 0 {
		k.pieces++
	} else {
		k.pieces, k.looked = 0, 0
	}
}

// members are locked rows of one table.
type members struct {
	places, leaves []string
	tenants        []*string
	left           bool // there are more, for want of room or because others have locked them

	identities []string // of rows of the step
	hold       int64    // the newest one when they were judged
}

// cut keeps the first n of them.
func (m *members) cut(n int) {
	n = min(n, len(m.places))
	m.places, m.leaves, m.tenants = m.places[:n], m.leaves[:n], m.tenants[:n]
}

// take judges locked rows by all that would go along with them, in a statement
// whose snapshot is younger than the locks, and locks what goes along with those
// that may go: at most most rows. What lies lowest comes first. It returns the
// places of the rows that may go.
func (f *family) take(ctx context.Context, places []string, most int) ([]string, error) {
	if len(f.step.Kin) == 0 {
		return places, nil
	}
	good, err := f.judge(ctx, places)
	if err == nil {
		good, err = f.lockAll(ctx, good, most)
	}
	if err != nil || len(good.places) == 0 {
		return nil, err
	}
	f.fit(most)
	if f.done.more {
		f.known.keep(good)
		err = f.headway(ctx, good)
	}
	return good.places, err
}

// lockAll locks what goes along with rows, and returns the rows. Those whose start
// lies in it are judged again under its locks: it begins anew without rows whose
// start has changed meanwhile.
func (f *family) lockAll(ctx context.Context, good members, most int) (members, error) {
	locked := f.done.locked
	for {
		if f.done.locked, f.done.more = locked, false; len(good.places) == 0 {
			return good, nil
		}
		good.leaves = slices.Repeat([]string{f.leaf()}, len(good.places))
		f.rows = make([]members, len(f.step.Kin))
		for i, k := range f.step.Kin {
			of := good
			if k.Of >= 0 {
				of = f.rows[k.Of]
			}
			if err := f.lock(ctx, i, of, most); err != nil {
				return good, err
			}
		}
		if f.step.Sure.SQL == "" {
			return good, nil
		}
		sure, err := f.ask(ctx, f.step.Sure, good.places)
		if err != nil || len(sure.places) == len(good.places) {
			return good, err
		}
		good = sure
	}
}

// fit leaves out what does not go in this batch. What hangs together goes in one
// statement, and only when nothing below it is left; what bears the start goes
// last, and only when nothing at all is left: the rest would never begin.
func (f *family) fit(room int) {
	for _, last := range []bool{false, true} {
		for i := len(f.rows) - 1; i >= 0; i-- {
			if f.step.Kin[i].Bears != last {
				continue
			}
			m := &f.rows[i]
			n, fits := len(m.places), max(0, room)
			if f.hangs(i) && (n > room || f.leftBelow(i)) || last && (n > room || slices.ContainsFunc(f.rows, func(m members) bool { return m.left })) {
				fits = 0
			}
			m.cut(fits)
			if len(m.places) < n {
				m.left, f.done.more = true, true
			}
			room -= len(m.places)
		}
	}
}

// ask has rows judged by a query of the step.
func (f *family) ask(ctx context.Context, q plan.Query, places []string) (m members, err error) {
	q = f.run.given(q)
	err = f.tx.QueryRow(ctx, q.SQL, append([]any{places}, q.Args...)...).Scan(&m.places, &m.tenants, &m.identities, &m.hold)
	return m, pg.Wrap("judge what goes along with a batch of "+f.step.Relation, err)
}

// judge gives the rows whose families may go. Those that are known are looked at
// by themselves.
func (f *family) judge(ctx context.Context, places []string) (good members, err error) {
	if len(f.known.rows) == 0 {
		return f.ask(ctx, f.step.Judge, places)
	}
	again, err := f.ask(ctx, f.step.Again, places)
	if err != nil {
		return again, err
	}
	if again.hold != f.known.hold {
		f.known.rows = nil
		return f.ask(ctx, f.step.Judge, places)
	}
	var others []string
	good.hold = again.hold
	for i, id := range again.identities {
		if f.known.rows[id] {
			good.add(&again, i)
		} else {
			others = append(others, again.places[i])
		}
	}
	if len(others) == 0 {
		return good, nil
	}
	rest, err := f.ask(ctx, f.step.Judge, others)
	for i := range rest.places {
		good.add(&rest, i)
	}
	return good, err
}

func (m *members) add(of *members, i int) {
	m.places, m.tenants, m.identities = append(m.places, of.places[i]), append(m.tenants, of.tenants[i]), append(m.identities, of.identities[i])
}

// leftBelow tells whether rows are left of a kin under another one.
func (f *family) leftBelow(i int) bool {
	for j, m := range f.rows {
		if !m.left {
			continue
		}
		for up := f.step.Kin[j].Of; up >= 0; up = f.step.Kin[up].Of {
			if up == i {
				return true
			}
		}
	}
	return false
}

// along names the tables of which rows go along, since the server does not always
// say which one it is that it refuses.
func (f *family) along() string {
	var names []string
	for i, m := range f.rows {
		if name := f.step.Kin[i].Relation; len(m.places) > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", with what goes along of " + strings.Join(names, ", ")
}

// chained tells whether rows that go along may belong to each other, and so to
// many rows of the step at once.
func (f *family) chained() bool {
	return slices.ContainsFunc(f.step.Kin, func(k plan.Kin) bool { return k.Itself || k.Relation == f.step.Relation })
}

// hangs tells whether rows of a kin point at each other.
func (f *family) hangs(i int) bool { return f.step.Kin[i].Itself && f.step.Kin[i].Kind == plan.Delete }

// lock locks the rows of one kin that belong to others. Of a table that points
// at itself all that hangs together goes at once, or else the outermost rows.
func (f *family) lock(ctx context.Context, i int, of members, most int) error {
	k := &f.step.Kin[i]
	if len(of.places) == 0 {
		return nil
	}
	for _, outermost := range []bool{false, true} {
		var m members
		var locked int64
		err := f.tx.QueryRow(ctx, k.Lock.SQL, append([]any{of.places, of.leaves, of.tenants, most + 1, outermost}, k.Lock.Args...)...).Scan(&m.places, &m.leaves, &m.tenants, &locked)
		if err != nil {
			return pg.Wrap("lock what goes along with a batch of "+f.step.Relation, err)
		}
		over := len(m.places)+int(locked) > most
		f.done.more = f.done.more || over
		if f.hangs(i) && !outermost && (over || locked > 0) {
			continue
		}
		m.cut(most)
		m.left = over || locked > 0
		f.rows[i] = m
		f.done.locked += locked
		return nil
	}
	return nil
}

// queue adds the statements for what goes along, the lowest first, and returns
// the reports that have to follow.
func (f *family) queue(b *pgx.Batch, run uuid.UUID) (late reports) {
	for i := len(f.rows) - 1; i >= 0; i-- {
		k, m := &f.step.Kin[i], f.rows[i]
		if len(m.places) == 0 {
			continue
		}
		f.done.tried = true
		late.add(queueWork(b, f.run.given(k.Batch), k.Report, []any{m.places, m.leaves, m.tenants}, run, &f.undone, func(n int64) {
			f.done.kin += n
			if f.isOwn(i) {
				f.done.own += n
			}
		}))
	}
	return late
}

// isOwn tells whether the rows of a kin are of the step's own table and go with
// it: of a tree, a row of the step may go as that of another one.
func (f *family) isOwn(i int) bool {
	k := &f.step.Kin[i]
	return k.Kind == plan.Delete && k.Relation == f.step.Relation
}

// leaf is the one that the step's rows are in, as kin name theirs.
func (f *family) leaf() string { return strconv.FormatUint(uint64(f.step.Leaf), 10) }
