package pgtest

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// Together has at most n tests of the package run at once, unless the command
// line says otherwise: for tests that mostly wait for processes. It comes before
// Main.
func Together(n int) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = flag.Set(parallel.Name, strconv.Itoa(n))
	}
}

// Number reads how often something is to be done from an environment variable;
// unset, it is usual.
func Number(t testing.TB, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s must be a number above 0", name)
	}
	return n
}
