package sweeper

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// fits tells every reason why policies do not fit a database: what the
// catalogue shows, and then what only the server can tell of their values.
// purger says that conn is the purging role's, which runs code of the tables'
// owners anyway; an installing role or a superuser must not.
func fits(ctx context.Context, conn *pgx.Conn, set policy.Set, cat *catalog.Catalog, purger bool) error {
	if err := plan.Lint(set, cat); err != nil {
		return err
	}
	own := purger && conn.PgConn().ParameterStatus("is_superuser") == "off"
	var refused []error
	for _, check := range plan.Checks(set, cat, own) {
		ok, err := ask(ctx, conn, check)
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		before := len(refused)
		for _, part := range check.Each {
			if ok, err = ask(ctx, conn, part); err != nil {
				return err
			} else if !ok {
				refused = append(refused, part.Refusal)
			}
		}
		if len(refused) == before {
			refused = append(refused, check.Refusal)
		}
	}
	return errors.Join(refused...)
}

// ask asks one question and leaves no trace of it, also inside a transaction of
// the caller's.
func ask(ctx context.Context, conn *pgx.Conn, check plan.Check) (ok bool, err error) {
	begin, undo := `begin`, `rollback`
	if conn.PgConn().TxStatus() != 'I' {
		begin, undo = `savepoint ask`, `rollback to savepoint ask`
	}
	_, err = conn.Exec(ctx, begin+`; set local transaction_read_only = on; set local statement_timeout = '5s'`)
	if err == nil {
		err = conn.QueryRow(ctx, check.SQL, check.Args...).Scan(&ok)
		if _, uerr := conn.Exec(ctx, undo); uerr != nil {
			return false, pg.Wrap("check the policies' values", uerr)
		}
	}
	if code := pg.SQLState(err); strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") {
		return false, nil
	}
	return ok, pg.Wrap("check the policy's values at "+check.Refusal.Position.String(), err)
}
