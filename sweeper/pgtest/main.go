package pgtest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, stops the server that they used, calls
// after, and fails the package when a goroutine is left over. It does not return.
func Main(m *testing.M, after ...func()) {
	code := run(m)
	if binaries.folder != "" {
		_ = os.RemoveAll(binaries.folder)
	}
	for _, f := range after {
		f()
	}
	os.Exit(code)
}

// Crowd has twice as many tests run at once as usual, unless -parallel says
// otherwise. It is for a package whose tests wait most of the time.
func Crowd() {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
}

func run(m *testing.M) int {
	code := m.Run()
	if shared.version != "" && (testing.Verbose() || code != 0) {
		fmt.Fprintf(os.Stderr, "pgtest: the tests ran on PostgreSQL %s (%s)\n", shared.version, shared.how)
	}
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest: stop the server:", err)
		code = max(code, 1)
	}
	if code != 0 {
		return code // a failed test may well leave something behind
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	return 0
}
