package modeltest_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestCalendar holds the model's arithmetic against the server's, for starts and
// periods of which many meet the end of a month or a change of the clocks.
func TestCalendar(t *testing.T) {
	t.Parallel()
	conn := pgtest.Database(t).Conn(t, "")
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		const samples = 3000
		starts, months, days := make([]time.Time, samples), make([]int, samples), make([]int, samples)
		for i := range starts {
			starts[i] = time.Date(2014+rng.IntN(12), time.Month(1+rng.IntN(12)), 1+rng.IntN(31), rng.IntN(24), 30*rng.IntN(2), 0, 0, time.UTC)
			if i%3 == 0 { // near a change of the clocks
				starts[i] = time.Date(2014+rng.IntN(12), pick(rng, time.March, time.April, time.October, time.November), 1+rng.IntN(31), rng.IntN(24), 30*rng.IntN(2), 0, 0, time.UTC)
			}
			months[i], days[i] = rng.IntN(30), rng.IntN(3)*rng.IntN(46)
		}
		rows, _ := conn.Query(t.Context(), `select timezone($1, timezone($1, s) + make_interval(months => m, days => d)) from unnest($2::timestamptz[], $3::int[], $4::int[]) with ordinality u(s, m, d, n) order by n`, name, starts, months, days)
		want, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			p := period{months[i], days[i]}
			if got := instantOf(p.after(wallOf(starts[i], zone)), zone); !got.Equal(w) {
				t.Errorf("%s and %s in %s: got %s, the server has %s", starts[i], p, name, got.UTC(), w.UTC())
			}
		}
	}
}
