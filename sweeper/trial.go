package sweeper

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// tries has the redactions of a policy set overwrite a few rows each, and rolls
// back: types, constraints and triggers have their say before the first sweep.
// It waits for no lock for long, and what it cannot find out it lets pass. It is
// for the purging role alone, since triggers are code of the tables' owners; and
// for a set that comes into force, not for every run. What only some rows refuse
// is a warning: those are for the sweep to name. So are all rows of a category
// in which this very set has redacted before, since what is left there may be
// just the rows that refuse.
func tries(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog, key []byte) (refused misfits, warned []*policy.Error, err error) {
	refused = misfits{}
	if conn.PgConn().ParameterStatus("is_superuser") != "off" {
		return refused, nil, nil
	}
	proven, asOf, err := provenBefore(ctx, conn, set)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range plan.Trials(set, cat, plan.Options{AsOf: asOf, HMACKey: key}) {
		verdict, all, err := try(ctx, conn, t)
		switch {
		case err != nil:
			return nil, nil, err
		case verdict == nil:
		case all && !proven[t.Category]:
			refused[t.Category] = append(refused[t.Category], verdict)
		default:
			verdict.Reason += "; other rows were redacted, so that a sweep will end as partial"
			warned = append(warned, verdict)
		}
	}
	return refused, warned, nil
}

// provenBefore names the categories in which the set has redacted rows already.
func provenBefore(ctx context.Context, conn *pgx.Conn, set policy.Set) (proven map[string]bool, asOf time.Time, err error) {
	var names []string
	err = conn.QueryRow(ctx, `select now(), array(select distinct category from sweeper.runs where policy_sha256 = $1 and redacted > 0)`, set.SHA256[:]).Scan(&asOf, &names)
	proven = map[string]bool{}
	for _, n := range names {
		proven[n] = true
	}
	return proven, asOf, pg.Wrap("look for what was redacted before", err)
}

// row is one that a redaction is tried on.
type row struct {
	partition   uint32
	place       string
	key, starts []string
}

// args are the parameters by which a statement finds the row.
func (r row) args(placed bool) []any {
	var all []any
	if placed {
		all = append(all, r.partition, r.place)
	}
	for _, k := range r.key {
		all = append(all, k)
	}
	return all
}

// try tries one redaction. The verdict is the first refusal; all tells that no
// row that was tried passed.
func try(ctx context.Context, conn *pgx.Conn, t plan.Trial) (verdict *policy.Error, all bool, err error) {
	if _, err = conn.Exec(ctx, `begin; set local lock_timeout = '500ms'; set local statement_timeout = '5s'`); err != nil {
		return nil, false, trialError(t, err)
	}
	defer func() {
		if _, uerr := conn.Exec(context.WithoutCancel(ctx), `rollback`); err == nil {
			err = trialError(t, uerr)
		}
	}()
	rows, err := pickRows(ctx, conn, t)
	if err != nil {
		return nil, false, err
	}
	var passed []row
	for _, r := range rows {
		refusal, err := tryRows(ctx, conn, t, r)
		switch {
		case unclear(err):
		case err != nil:
			return nil, false, trialError(t, err)
		case refusal == nil:
			passed = append(passed, r)
		case verdict == nil:
			verdict = refusal
		}
	}
	if verdict != nil || len(passed) < 2 {
		return verdict, len(passed) == 0, nil
	}
	// Each for itself they pass; the same value in all of them may not.
	if verdict, err = tryRows(ctx, conn, t, passed...); err != nil && !unclear(err) {
		return nil, false, trialError(t, err)
	}
	return verdict, true, nil
}

func trialError(t plan.Trial, err error) error {
	return pg.Wrap("try the redaction of "+t.Table.Name.String(), err)
}

// unclear tells an answer that is of the moment, or of the role's privileges,
// and so says nothing of the redaction.
func unclear(err error) bool {
	switch code := pg.SQLState(err); {
	case code == "42501" && !raised(err), code == "55P03", code == "57014", code == "25006":
		return true
	case strings.HasPrefix(code, "40"), strings.HasPrefix(code, "53"):
		return true
	}
	return false
}

// raised tells an error that a function raised by itself.
func raised(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Routine == "exec_stmt_raise" || strings.HasPrefix(e.Code, "P0"))
}

// pickRows are the rows to try: of each pick a few, none twice.
func pickRows(ctx context.Context, conn *pgx.Conn, t plan.Trial) ([]row, error) {
	var found []row
	seen := map[string]bool{}
	for _, pick := range t.Picks {
		if len(found) >= 2*plan.TrialRows {
			break
		}
		if _, err := conn.Exec(ctx, `savepoint pick`); err != nil {
			return nil, trialError(t, err)
		}
		var more []row
		rows, err := conn.Query(ctx, pick.SQL, pick.Args...)
		if err == nil {
			more, err = pgx.CollectRows(rows, func(c pgx.CollectableRow) (r row, err error) {
				return r, c.Scan(&r.partition, &r.place, &r.key, &r.starts)
			})
		}
		if err != nil && !unclear(err) {
			return nil, trialError(t, err)
		}
		if err != nil { // the rows of the others stay locked
			_, err = conn.Exec(ctx, `rollback to savepoint pick`)
		}
		if err != nil {
			return nil, trialError(t, err)
		}
		for _, r := range more {
			if key := strings.Join(r.key, "\x00"); !seen[key] {
				seen[key] = true
				found = append(found, r)
			}
		}
	}
	return found, nil
}

// tryRows redacts rows, looks at them, and takes it back. An error is one that
// says nothing of the redaction.
func tryRows(ctx context.Context, conn *pgx.Conn, t plan.Trial, rows ...row) (refusal *policy.Error, err error) {
	if _, err := conn.Exec(ctx, `savepoint trial`); err != nil {
		return nil, err
	}
	defer func() {
		if _, uerr := conn.Exec(ctx, `rollback to savepoint trial`); uerr != nil {
			err = errors.Join(err, uerr)
		}
	}()
	for _, r := range rows {
		done, err := conn.Exec(ctx, t.Update.SQL, append(r.args(true), t.Update.Args...)...)
		if err != nil {
			return refusedBy(ctx, conn, t, r, err)
		}
		if done.RowsAffected() == 0 {
			return t.Undone(""), nil
		}
	}
	if _, err := conn.Exec(ctx, `set constraints all immediate`); err != nil {
		return refusedBy(ctx, conn, t, rows[0], err)
	}
	for _, r := range rows {
		if refusal, err := lookAt(ctx, conn, t, r); refusal != nil || err != nil {
			return refusal, err
		}
	}
	return nil, nil
}

// lookAt reads a redacted row again.
func lookAt(ctx context.Context, conn *pgx.Conn, t plan.Trial, r row) (*policy.Error, error) {
	var starts []string
	var pending []bool
	err := conn.QueryRow(ctx, t.After.SQL, append(r.args(false), t.After.Args...)...).Scan(&starts, &pending)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return t.Moved(r.starts, nil), nil
	case err != nil:
		return nil, err
	}
	if moved := t.Moved(r.starts, starts); moved != nil {
		return moved, nil
	}
	for i, p := range pending {
		if p {
			return t.Undone(t.Columns[i]), nil
		}
	}
	return nil, nil
}

// refusedBy turns the server's answer into a refusal. Where it names no column,
// the columns are tried one by one.
func refusedBy(ctx context.Context, conn *pgx.Conn, t plan.Trial, r row, cause error) (*policy.Error, error) {
	var e *pgconn.PgError
	if unclear(cause) || !errors.As(cause, &e) {
		return nil, cause
	}
	a := answer(e)
	byDomain := a.Constraint != "" && e.DataTypeName != ""
	if a.Raised || !strings.HasPrefix(a.Code, "22") && !byDomain && (a.Code != "23502" || a.Column != "") {
		return t.Refused(a), nil
	}
	for i, column := range t.Columns {
		if _, err := conn.Exec(ctx, `rollback to savepoint trial`); err != nil {
			return nil, err
		}
		_, err := conn.Exec(ctx, t.Single[i].SQL, append(r.args(true), t.Single[i].Args...)...)
		if errors.As(err, &e) && e.Code == a.Code {
			return t.Unfit(column, answer(e)), nil
		}
	}
	return t.Refused(a), nil
}

// answer is what an error says, without what it says of values.
func answer(e *pgconn.PgError) plan.Answer {
	_, text, _ := strings.Cut(pg.Wrap("-", e).Error(), ": ")
	return plan.Answer{Code: e.Code, Constraint: e.ConstraintName, Column: e.ColumnName, Raised: raised(e), Text: text}
}
