package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

const (
	beatEvery   = 3 * time.Second  // between two signs of life of who holds a session lock
	beatTimeout = 5 * time.Second  // for one of them: a connection without an answer is lost
	frozenAfter = 12 * time.Second // without a sign of life by the server's clock
	lookEvery   = 2 * time.Second  // at who holds what this process waits for
	endTimeout  = 10 * time.Second // for the sessions of a frozen process to be gone
	endPause    = 50 * time.Millisecond
)

// ownName matches the names of the connections of a process of ours.
var ownName = regexp.MustCompile(`^sweeper/[0-9a-f]{8}( log)?$`)

// lockHolder is who holds a session lock of ours.
type lockHolder struct {
	application string
	own         bool    // it is a session of this role
	silent      float64 // seconds since any of its sessions of this role began or ended a statement
}

// frozen tells whether its process gives no sign of life. One whose sessions
// this role may not see, or that is not one of ours, never counts as frozen.
func (h lockHolder) frozen() bool {
	return ownName.MatchString(h.application) && h.silent > frozenAfter.Seconds()
}

// holderOf finds who holds the lock with our second key; nil: nobody.
func holderOf(ctx context.Context, conn *pgx.Conn, key int32) (*lockHolder, error) {
	const sql = `
		select a.application_name, coalesce(a.usename = current_user, false), coalesce(extract(epoch from clock_timestamp() - max(b.state_change)), 0)::float8
		  from pg_locks l join pg_stat_activity a using (pid)
		  join pg_stat_activity b on b.application_name = a.application_name and b.datid = a.datid
		 where l.locktype = 'advisory' and l.granted and l.classid = $1::int::oid and l.objid = $2::int::oid and l.objsubid = 2 and a.datname = current_database()
		 group by 1, 2 limit 1`
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	h := &lockHolder{}
	err := conn.QueryRow(ctx, sql, pg.LockSpace, key).Scan(&h.application, &h.own, &h.silent)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return h, pg.Wrap("look who holds a lock", err)
}

// endSessions ends all sessions of that name in this database and returns when
// the server has let go of them: whatever a frozen process has under way is
// undone, and when it wakes up it finds its connections closed.
func endSessions(ctx context.Context, conn *pgx.Conn, application string) error {
	const sql = `select count(pg_terminate_backend(pid)) from pg_stat_activity
		where application_name = $1 and datname = current_database() and pid <> pg_backend_pid()`
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	for {
		var left int
		if err := conn.QueryRow(ctx, sql, application).Scan(&left); err != nil {
			return pg.Wrap(fmt.Sprintf("end the sessions of %q", application), err)
		}
		if left == 0 {
			return nil
		}
		if err := sleep(ctx, endPause); err != nil {
			return fmt.Errorf("end the sessions of %q: %d are still there after %s", application, left, endTimeout)
		}
	}
}

// endFrozen ends the process that holds a lock, when it is frozen. free tells
// that the lock can be had now.
func endFrozen(ctx context.Context, conn *pgx.Conn, log *slog.Logger, key int32) (free bool, err error) {
	h, err := holderOf(ctx, conn, key)
	if err != nil || h == nil || !h.frozen() {
		return h == nil, err
	}
	log.WarnContext(ctx, "a process is frozen or cut off, its sessions are ended", slog.String("application", h.application),
		slog.Duration("silent", time.Duration(h.silent*float64(time.Second))))
	return true, endSessions(ctx, conn, h.application)
}

// stepHolder tells of who holds a step whether that is a process of ours, which
// is at work for the same run, and ends one that is frozen. Only of this role's
// sessions is that believed: any login can take a key, under any name.
func stepHolder(log *slog.Logger) purge.Holder {
	return func(ctx context.Context, conn *pgx.Conn, key int32) (ours bool, err error) {
		h, err := holderOf(ctx, conn, key)
		if err != nil || h == nil || !h.own || !ownName.MatchString(h.application) {
			return false, err
		}
		if h.frozen() {
			_, err = endFrozen(ctx, conn, log, key)
		}
		return true, err
	}
}

// beat shows the server, until ctx ends, that the process behind conn lives.
// What goes wrong goes to lost, once. A sign that is under way when ctx ends comes
// to its end: cut off, it would take the connection along.
func beat(ctx context.Context, conn *pgx.Conn, every time.Duration, lost func(error)) {
	for sleep(ctx, every) == nil {
		if err := signOfLife(context.WithoutCancel(ctx), conn); err != nil {
			if ctx.Err() == nil {
				lost(err)
			}
			return
		}
	}
}

func signOfLife(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, `select`)
	return pg.Wrap("give the server a sign of life", err)
}
