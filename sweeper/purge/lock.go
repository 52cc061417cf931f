package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// mostLocked is how many spans in a row may be locked as a whole before a step is
// left for the next pass: then it is the table that is locked.
const mostLocked = 3

// errLocked is a step that is left because its table is locked.
var errLocked = errors.New("the table is locked")

// locks is what a step knows of the locks of others. A batch that has met one is
// done again, and the rows that are locked are left. Each that has met one doubles
// how many after it do so from the start, so that the same lock is not waited for
// again and again, and one in a large table does not make all of it slow.
type locks struct {
	wary      int    // spans that come next and leave what is locked from the start
	last      int    // what wary was set to last
	all       bool   // every span does
	forbidden bool   // rows may not be locked
	whole     int    // spans in a row that were locked as a whole
	later     []left // what to come back for
}

// left is a span that was not purged to its end.
type left struct {
	span
	rows int64 // that others have locked
	err  error // nil: rows; else all of it
}

// maySkip tells whether the step has the means to leave rows that are locked.
func (s *stepper) maySkip() bool { return s.step.Taken.SQL != "" && !s.forbidden }

// skips tells whether the next span leaves them from the start.
func (s *stepper) skips() bool {
	if s.wary > 0 {
		s.wary--
		return s.maySkip()
	}
	return s.step.Batch.SQL == "" || s.all && s.maySkip()
}

// met remembers a lock, for what follows and for the next pass.
func (s *stepper) met() {
	s.last = max(1, 2*s.last)
	s.wary = s.last
	s.remember(s.step.Name())
}

// got takes in a span that went, but for the rows that others have locked.
func (s *stepper) got(at span, locked int64) {
	s.whole = 0
	if locked > 0 {
		s.later = append(s.later, left{span: at, rows: locked})
	}
}

// leave puts off a span that is locked as a whole.
func (s *stepper) leave(at span, err error) error {
	s.later = append(s.later, left{span: at, err: err})
	if s.whole++; s.whole >= mostLocked {
		return errLocked
	}
	return nil
}

// comeBack takes what was locked, at the end of the step, as far as it is free
// now, and says what is not.
func (s *stepper) comeBack(ctx context.Context) error {
	all := s.later
	s.later, s.whole, s.all = nil, 0, true
	for i, l := range all {
		l.pieces = true // the span is as large as it was when its rows were locked
		again, err := s.purge(ctx, l.span)
		if errors.Is(err, errLocked) {
			s.later = append(s.later, all[i+1:]...)
			return err
		}
		if err != nil {
			return err
		}
		if again {
			s.later = append(s.later, l)
		}
	}
	return nil
}

// sayLocked names what stays locked, and by whom.
func (s *stepper) sayLocked(ctx context.Context) {
	if len(s.later) == 0 {
		return
	}
	var rows int64
	var whole error
	for _, l := range s.later {
		rows += l.rows
		if whole == nil {
			whole = l.err
		}
	}
	text := fmt.Sprintf("%s %s: others have locked %d of the rows", s.step.Kind, cmp.Or(s.step.Partition, s.step.Relation), rows)
	if whole != nil {
		text = whole.Error()
	}
	s.skipped = append(s.skipped, text+s.holders(ctx))
}

// holdersSQL names those who have a lock on a table that keeps its rows from us,
// the oldest transactions first. Who has locked which row is written in the rows
// alone, and of several at once not even there.
const holdersSQL = `
	select case when l.pid is null then 'a prepared transaction'
	            else format('pid %s (%s, role %s)', l.pid, coalesce(nullif(a.application_name, ''), 'no name'), coalesce(a.usename, 'unknown')) end
	  from pg_locks l left join pg_stat_activity a using (pid)
	 where l.locktype = 'relation' and l.granted and l.relation = $1 and l.pid is distinct from pg_backend_pid()
	   and l.mode not in ('AccessShareLock', 'ShareUpdateExclusiveLock')
	   and l.database = (select oid from pg_database where datname = current_database())
	 group by l.pid, a.application_name, a.usename, a.xact_start order by a.xact_start nulls first limit 3`

func (s *stepper) holders(ctx context.Context) string {
	rows, err := s.conn.Query(ctx, holdersSQL, cmp.Or(s.step.Leaf, s.step.Root))
	if err != nil {
		return ""
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		return ""
	}
	return "; locks on the table are held by " + strings.Join(names, ", ")
}

// remember marks a step whose table others lock: the next pass waits for nobody.
func (r *run) remember(step string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.locked[step] = true
}

func (r *run) remembers(step string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked[step]
}
