package sweeper

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// feedTimeout bounds one try to get a connection. Meanwhile nothing else shows
// that this process lives.
const feedTimeout = 2 * time.Second

// hungry notes that a run has got no connection: the server, or the role's own
// limit, has none to give. What is on its way keeps those that it has.
func (s *scheduler) hungry(ctx context.Context, err error) {
	var refused *pgconn.ConnectError
	if ctx.Err() != nil || !errors.As(err, &refused) {
		return
	}
	s.health.connected(err)
	s.outage.failed(ctx, partSchedules, err)
}

// fed tells whether runs get connections, and tries again when they did not.
// The slots that wait because of that are then taken at once.
func (s *scheduler) fed(ctx context.Context) bool {
	if s.health.starved() == nil {
		return true
	}
	trying, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	conn, err := pg.Connect(trying, s.cfg.DatabaseURL.Reveal(), s.instance.purger())
	if err != nil {
		s.health.connected(err)
		s.outage.failed(ctx, partSchedules, err)
		return false
	}
	closeSoon(conn)
	s.health.connected(nil)
	s.outage.over(ctx, partSchedules)
	clear(s.later)
	return true
}
