package pg

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The advisory locks of sweeper are pairs of 32-bit keys, so that they cannot
// meet an application's single-key locks. The first key is ours for all of
// them; the SQL functions use the same numbers, held equal by a test.
const (
	LockSpace   int32 = 1398228304 // "SWEP" in ASCII
	LockFence   int32 = 1          // shared by batches, exclusive by writes to the holds
	LockInstall int32 = 2          // install, upgrade, uninstall
	LockLog     int32 = 3          // the one writer of the purge log
)

// StepLock is the second key of the lock on one step: a relation and a
// disposition of one category. Keys from 1024 up are steps.
func StepLock(step string) int32 {
	h := fnv.New32a()
	h.Write([]byte(step))
	return int32(h.Sum32()&0x7fffffff) | 1024
}

// CategoryLock is the second key of the lock on the scheduled runs of one
// category. A step's name never begins like that.
func CategoryLock(category string) int32 { return StepLock("category/" + category) }

// RootLock is the second key of the lock by which our own work on a partitioned
// table keeps out of the way of our own drops: a batch shares it, a drop has it
// alone.
func RootLock(root uint32) int32 { return StepLock(fmt.Sprintf("root/%d", root)) }

// RunLock is the second key of the lock on the end of one run: the batches of
// those who help with it share it, and who ends the run has it alone. Unlike the
// lock on the run's row, nobody can overtake who waits for it.
func RunLock(run uuid.UUID) int32 { return StepLock("run/" + run.String()) }

// LockHolder names who holds the lock with our second key, for people: any
// login can take an advisory key. conn may be in a transaction.
func LockHolder(ctx context.Context, conn *pgx.Conn, key int32) string {
	const sql = `
		select string_agg(case when l.pid is null then 'a prepared transaction'
		                       else format('pid %s (%s, role %s)', l.pid, coalesce(nullif(a.application_name, ''), 'no name'), coalesce(a.usename, 'unknown')) end, ', ')
		  from pg_locks l left join pg_stat_activity a using (pid)
		 where l.locktype = 'advisory' and l.granted and l.classid = $1::int::oid and l.objid = $2::int::oid and l.objsubid = 2
		   and l.database = (select oid from pg_database where datname = current_database())`
	var holder *string
	if err := conn.QueryRow(ctx, sql, LockSpace, key).Scan(&holder); err != nil || holder == nil {
		return "a session that has just ended"
	}
	return *holder
}
