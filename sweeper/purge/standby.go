package purge

import (
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standbys remembers of the physical standbys that are behind since when each has
// not moved. A run that has looked at them only since it began would purge beside one
// that stands still until the limit is over, and so would each run after it.
type Standbys struct {
	mu     sync.Mutex
	behind map[int32]standby // by the pid of the sender
}

// standby is how far one had replayed when it was first seen there with WAL to
// replay.
type standby struct {
	replayed string
	since    time.Time
}

// standbysSQL are those that replay: senders of logical slots, of base backups
// and of archives are none. How far one is behind the end of the WAL tells whether
// it stands still, which the server's own figure does not while it hears nothing.
const standbysSQL = `
	select r.pid, coalesce(nullif(r.application_name, ''), 'without a name'), r.replay_lsn::text, r.replay_lsn < pg_current_wal_flush_lsn(),
	       case when r.replay_lsn < r.sent_lsn then coalesce(extract(epoch from r.replay_lag), 0) else 0 end::float8
	  from pg_stat_replication r
	 where r.state in ('streaming', 'catchup') and r.replay_lsn is not null
	   and not exists (select from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')`

// sender is one that sends WAL to a physical standby.
type sender struct {
	PID      int32
	Name     string
	Replayed string
	Behind   bool    // there is WAL to replay
	Seconds  float64 // the server's figure
}

// judgeStandbys finds one that is too far behind: by the server's figure, or
// because it has not moved for so long with WAL to replay.
func (p *pressure) judgeStandbys(rows pgx.Rows, found func(cause, why string)) error {
	senders, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sender])
	if err != nil {
		return err
	}
	for i, stood := range p.Standbys.see(senders, p.Now()) {
		lag := max(time.Duration(senders[i].Seconds*float64(time.Second)), stood)
		if lag > p.MaxReplicaLag {
			found(ReplicaLag, fmt.Sprintf("standby %s is %s behind, more than SWEEPER_MAX_REPLICA_LAG allows", senders[i].Name, lag.Round(time.Second)))
		}
	}
	return nil
}

// see takes over where standbys are, and tells for how long each has stood still
// there with WAL to replay. One without any is forgotten: how long it will have had
// nothing to replay when somebody looks again is no lag.
func (s *Standbys) see(senders []sender, now time.Time) (stood []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	behind := map[int32]standby{}
	for _, one := range senders {
		at, known := s.behind[one.PID]
		if !known || at.replayed != one.Replayed {
			at = standby{one.Replayed, now}
		}
		if one.Behind {
			behind[one.PID] = at
			stood = append(stood, now.Sub(at.since))
		} else {
			stood = append(stood, 0)
		}
	}
	s.behind = behind
	return stood
}
