// Package modeltest plays random operations, of an application, of operators
// and of misfortune, against two processes of the real binary on a real
// PostgreSQL, and judges what came of it by a model of the policies that shares
// no code with the product. What is true the model learns from an independent
// reader of the write-ahead log, in the order of the commits. It has tests only.
//
// SWEEPER_SEEDS is the number of seeds, 100 by default. SWEEPER_SEED plays one,
// and prints its operations and its policies.
package modeltest_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/pgsweeper/sweeper/sweeper" // what the binary is made of: a change of it must not find these tests cached
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// together is how many seeds are played at once when nobody says: much of the
// time they wait.
const together = 8

func TestMain(m *testing.M) {
	pgtest.Together(together)
	pgtest.Main(m)
}

// kept are seeds that found something, and what. They are always played. What a
// seed draws changes with the drawing, so each find has a test of its own too,
// beside the code that was wrong.
var kept = []struct {
	seed  uint64
	found string
}{
	{8, "a hold on one category did not keep a row from another category over its table"},
	{11, "of two sweeps that began together one took the server's clock for wrong"},
	{44, "a hold on one category did not keep a row from another one's redaction"},
	{336, "what the application had done to a partition was logged under another name when it was detached before it was read"},
	{88, "a sweep was told that a session which had just ended is a stranger who writes the log"},
}

// seeds are those to be played.
func seeds(t *testing.T) (all []uint64) {
	t.Helper()
	if text := os.Getenv("SWEEPER_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal("SWEEPER_SEED must be a number")
		}
		return []uint64{n}
	}
	for i := range pgtest.Number(t, "SWEEPER_SEEDS", 100) {
		all = append(all, uint64(i+1))
	}
	for _, k := range kept {
		if !slices.Contains(all, k.seed) {
			all = append(all, k.seed)
		}
	}
	return all
}

// TestModel plays the seeds.
func TestModel(t *testing.T) {
	t.Parallel()
	all := seeds(t)
	c := &coverage{seen: map[string]int{}}
	t.Run("seeds", func(t *testing.T) {
		for _, seed := range all {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				play(t, seed, c)
			})
		}
	})
	c.tell(t, len(all) >= 100)
}

// play plays one seed, and tells how to play it again when something is wrong.
func play(t *testing.T, seed uint64, c *coverage) {
	w := newWorld(seed)
	if os.Getenv("SWEEPER_SEED") != "" {
		t.Log(w)
	}
	defer func() {
		if t.Failed() {
			t.Logf("replay: SWEEPER_SEED=%d go test -v -run TestModel ./sweeper/modeltest\n%s", seed, w)
		}
	}()
	s := newSite(t, w)
	s.play()
	truth := s.judged(s.last())
	for _, p := range first(truth.problems, 12) {
		t.Error(p)
	}
	c.add(s.did, truth.seen)
}

func first[T any](all []T, n int) []T { return all[:min(n, len(all))] }

// String is what the seed has drawn.
func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "replicas %v, armed %q, %s\n%s;\n", w.replicas, w.armed, strings.Join(w.env, " "), strings.Join(w.schema, ";\n"))
	for _, version := range sortedInts(w.sets) {
		b.WriteString(w.sets[version].yaml())
	}
	for i, o := range w.ops {
		fmt.Fprintf(&b, "%3d %s\n", i, o)
	}
	return b.String()
}

func sortedInts[V any](m map[int]V) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
