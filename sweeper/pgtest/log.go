package pgtest

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// LogProblems verifies the whole purge log from its rows, in Go and in SQL, and
// tells all that is wrong with it.
func LogProblems(t testing.TB, conn *pgx.Conn) (problems []string) {
	t.Helper()
	v, err := purgelog.Verify(t.Context(), conn, nil)
	if err != nil {
		t.Fatalf("verify the purge log: %v", err)
	}
	for _, p := range v.Problems {
		problems = append(problems, fmt.Sprintf("log: entry %d: %s", p.Seq, p.Text))
	}
	if got := QueryOne[*string](t, conn, `select string_agg(seq || ': ' || problem, '; ') from sweeper.verify_chain()`); got != nil {
		problems = append(problems, "verify_chain: "+*got)
	}
	return problems
}

// CheckLog fails the test for each thing that is wrong with the purge log.
func CheckLog(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	for _, p := range LogProblems(t, conn) {
		t.Error(p)
	}
}

// LogCommitments counts the row commitments of those entries l of the purge log
// that a condition picks.
func LogCommitments(t testing.TB, conn *pgx.Conn, where string) map[[32]byte]int {
	t.Helper()
	rows, _ := conn.Query(t.Context(), `select r.commitments from sweeper.purge_rows r left join sweeper.purge_log l using (seq, logged_at) where `+where) // its error comes out of the rows
	found := map[[32]byte]int{}
	var part []byte
	if _, err := pgx.ForEachRow(rows, []any{&part}, func() error {
		for ; len(part) > 0; part = part[32:] {
			found[[32]byte(part)]++
		}
		return nil
	}); err != nil {
		t.Fatalf("read row commitments: %v", err)
	}
	return found
}
