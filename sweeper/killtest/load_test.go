package killtest_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// load is the application at work beside the sweeper, and what it may rely on.
type load struct {
	s     *site
	stop  chan struct{}
	once  sync.Once
	ended sync.WaitGroup

	mu   sync.Mutex
	safe map[string]map[int64]string // by table: rows that no purge may touch any more, with the e-mail that must stay
	did  map[string]int              // by kind of work, how often it was done
}

const (
	workers  = 2
	pace     = 4 * time.Millisecond // from one piece of work of a worker to the next
	mostHeld = 6                    // subjects that come under a hold while it works
)

// begin starts the application.
func (s *site) begin(t *testing.T) *load {
	l := &load{s: s, stop: make(chan struct{}), did: map[string]int{}, safe: map[string]map[int64]string{}}
	for _, table := range tables {
		l.safe[table.name] = map[int64]string{}
	}
	for range workers {
		l.ended.Go(func() { l.work(context.WithoutCancel(t.Context())) })
	}
	return l
}

// end stops the application and waits for what it was doing.
func (l *load) end() {
	l.once.Do(func() { close(l.stop) })
	l.ended.Wait()
}

// work does one small transaction after the other, and comes back when the
// server has gone away.
func (l *load) work(ctx context.Context) {
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
			if conn, _ = pgx.Connect(ctx, l.s.url("")); conn == nil {
				continue
			}
		}
		kind, err := l.one(ctx, conn)
		if err != nil {
			kind += ", in vain" // a deadlock, a lock that was not to be had in time, a server that is gone
		}
		l.mu.Lock()
		l.did[kind]++
		l.mu.Unlock()
	}
}

// The application's work. Rows that come back from refresh are young, and rows
// that come back from a hold are held: neither may go.
const (
	insertDue = `with e as (insert into app.events (at, tenant, who) select '2011-01-01'::timestamptz + random() * interval '300 days', 't1', 's' || (random() * 40)::int from generate_series(1, 3)),
		p as (insert into app.people (at, who, email, name) values (now() - interval '2 years', 's' || (random() * 40)::int, 'late@example.com', 'late'))
		insert into app.shots (at, tenant, who) values ('1990-01-01'::timestamptz + random() * interval '300 days', 't1', 's' || (random() * 40)::int)`
	insertYoung = `insert into app.events (at, tenant, who) values (now() - random() * interval '100 days', 't2', 's' || (random() * 40)::int)`
	refresh     = `update %[1]s set at = now() where id = (select id from %[1]s where at < now() - interval '1 year' order by random() limit 1) and at < now() - interval '1 year' returning id, %[2]s`
	remove      = `delete from %[1]s where id = (select id from %[1]s order by random() limit 1)`
)

// tables are the application's, with what of their rows must stay.
var tables = []struct{ name, keeps string }{{"app.events", "''"}, {"app.people", "coalesce(email, '')"}, {"app.shots", "''"}, {"app.marks", "''"}}

func (l *load) one(ctx context.Context, conn *pgx.Conn) (kind string, err error) {
	t := tables[rand.N(len(tables))]
	switch n := rand.N(100); {
	case n < 40:
		_, err = conn.Exec(ctx, insertDue)
		return "inserts of due rows", err
	case n < 60:
		_, err = conn.Exec(ctx, insertYoung)
		return "inserts of young rows", err
	case n < 80:
		return "refreshes", l.promise(ctx, conn, t.name, fmt.Sprintf(refresh, t.name, t.keeps))
	case n < 99:
		_, err = conn.Exec(ctx, fmt.Sprintf(remove, t.name))
		return "deletes", err
	case l.heldEnough():
		_, err = conn.Exec(ctx, insertYoung)
		return "inserts of young rows", err
	}
	return "holds", l.hold(ctx, conn)
}

func (l *load) heldEnough() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.did["holds"] >= mostHeld
}

// hold puts one more subject under a hold. From its return on, what is there
// of that subject stays.
func (l *load) hold(ctx context.Context, conn *pgx.Conn) error {
	subject := fmt.Sprint("s", rand.N(40))
	if _, err := conn.Exec(ctx, `select sweeper.apply_hold($1, 'case', 'application')`, subject); err != nil {
		return err
	}
	for _, t := range tables {
		if err := l.promise(ctx, conn, t.name, fmt.Sprintf(`select id, %s from %s where who = $1`, t.keeps, t.name), subject); err != nil {
			return err
		}
	}
	return nil
}

// promise runs sql and notes the rows that it returns as safe. When the answer
// is lost nothing is promised.
func (l *load) promise(ctx context.Context, conn *pgx.Conn, table, sql string, args ...any) error {
	found := map[int64]string{}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	var id int64
	var keep string
	_, err = pgx.ForEachRow(rows, []any{&id, &keep}, func() error {
		found[id] = keep
		return nil
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.safe[table], found)
	return nil
}
