package purge

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// A drop locks the partitioned table against everybody, for which it waits half
// a second at most: less than a batch of ours may take. So it first waits, for
// as long as it takes, until none of ours is at work on the table, in whatever
// process; those that come later wait for it. Nobody else takes this lock, so
// the application is not kept waiting by it.
const (
	rootSharedSQL  = `select set_config('lock_timeout', $1, true), pg_advisory_xact_lock_shared($2::int, $3::int), set_config('lock_timeout', $4, true)`
	rootSQL        = `select set_config('lock_timeout', $1, true), pg_advisory_xact_lock($2::int, $3::int)`
	rootSessionSQL = `select set_config('lock_timeout', $1, false), pg_advisory_lock_shared($2::int, $3::int)`
)

// rootPatience bounds the wait: a frozen process holds the lock for no longer
// than its transaction may stand idle.
const rootPatience = 30 * time.Second

func rootArgs(root uint32) []any {
	return []any{milliseconds(rootPatience), pg.LockSpace, pg.RootLock(root)}
}

// avoidDrops waits for the drops of partitions of a table, and keeps others from
// beginning until tx ends. It must come before anything else in tx: to prepare a
// statement over the table is enough to lock it, for which wait is the patience.
func avoidDrops(ctx context.Context, tx pgx.Tx, root uint32, name string, wait time.Duration) error {
	_, err := tx.Exec(ctx, rootSharedSQL, append(rootArgs(root), milliseconds(wait))...)
	return pg.Wrap("wait for the drops of partitions of "+name, err)
}

// count counts the category's rows, which can take long, and no drop meanwhile
// tries the lock on the table in vain. The lock is the session's: in one
// transaction the statements together would lock every partition there is.
func (r *run) count(ctx context.Context, pool *pgxpool.Pool) (all []States, err error) {
	err = r.inTurn(ctx, func() error {
		if len(r.category.Table.Leaves) == 0 {
			all, err = Count(ctx, pool, r.category)
			return err
		}
		return pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			root := r.category.Table
			defer release(ctx, c.Conn(), root.OID)
			if _, err := c.Exec(ctx, rootSessionSQL, rootArgs(root.OID)...); err != nil {
				return pg.Wrap("wait for the drops of partitions of "+root.Text, err)
			}
			all, err = Count(ctx, c, r.category)
			return err
		})
	})
	return all, err
}

// inTurn runs what may count for long. Many categories have their turn one after
// the other, lest they keep every connection from those that purge.
func (r *run) inTurn(ctx context.Context, count func() error) error {
	select {
	case r.counts <- struct{}{}:
		defer func() { <-r.counts }()
		return count()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// release gives a session's lock back, or the session up: a pool does not keep
// a connection that is closed.
func release(ctx context.Context, conn *pgx.Conn, root uint32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(`select pg_advisory_unlock_shared($1::int, $2::int)`, pg.LockSpace, pg.RootLock(root))
	b.Queue(`reset lock_timeout`)
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		_ = conn.Close(ctx)
	}
}
