package failovertest_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

// load is the application at work beside the sweeper, on whichever server can
// be written to.
type load struct {
	stop  chan struct{}
	once  sync.Once
	ended sync.WaitGroup
}

const (
	workers = 2
	pace    = 10 * time.Millisecond // from one piece of work of a worker to the next
)

// begin starts the application.
func (s *site) begin(t *testing.T) *load {
	l := &load{stop: make(chan struct{})}
	url := s.url(pgserver.Superuser) + "&connect_timeout=2"
	for range workers {
		l.ended.Go(func() { l.work(context.WithoutCancel(t.Context()), url) })
	}
	t.Cleanup(l.end)
	return l
}

// end stops the application and waits for what it was doing.
func (l *load) end() {
	l.once.Do(func() { close(l.stop) })
	l.ended.Wait()
}

// The application's work: rows come, some due, some are made young again, some
// go by its own hand.
var pieces = []string{
	`insert into app.events (at, who) select '2011-01-01'::timestamptz + random() * interval '300 days', 's' || (random() * 40)::int from generate_series(1, 3)`,
	`insert into app.events (at, who) values (now() - random() * interval '100 days', 's' || (random() * 40)::int)`,
	`insert into app.people (at, who, email) values (now() - interval '2 years', 's' || (random() * 40)::int, 'late@example.com')`,
	`insert into app.shots (at, who) values ('1990-01-01'::timestamptz + random() * interval '300 days', 's' || (random() * 40)::int)`,
	`update app.events set at = now() where id = (select id from app.events where at < now() - interval '1 year' order by random() limit 1) and at < now() - interval '1 year'`,
	`delete from app.events where id = (select id from app.events where who <> 'held' order by random() limit 1)`,
}

// work does one small transaction after the other, and comes back when the
// server has gone away.
func (l *load) work(ctx context.Context, url string) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(ctx)
		}
	}()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if conn == nil || conn.IsClosed() {
			if conn, _ = pgx.Connect(ctx, url); conn == nil {
				continue
			}
		}
		bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, _ = conn.Exec(bounded, pieces[rand.N(len(pieces))]) // what a failover breaks is tried again by nobody
		cancel()
	}
}

// seconds are what a series measured.
type seconds struct {
	mu  sync.Mutex
	all map[string][]float64
}

// measured holds the figures of the whole run, by series.
var measured = seconds{all: map[string][]float64{}}

func (s *seconds) add(t *testing.T, series string, took float64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[series] = append(s.all[series], took)
	t.Logf("%s: %.1f s", series, took)
}

// tell prints the medians and the worst, for the table in docs/failover.md.
func (s *seconds) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, series := range slices.Sorted(maps.Keys(s.all)) {
		all := slices.Sorted(slices.Values(s.all[series]))
		fmt.Printf("figures: %s: %d times, median %.1f s, most %.1f s\n", series, len(all), all[len(all)/2], all[len(all)-1])
	}
}
