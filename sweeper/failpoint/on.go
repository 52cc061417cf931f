//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Variable is the environment variable that arms one point.
const Variable = "SWEEPER_FAILPOINT"

// armed is the point of this process, read once.
var armed = sync.OnceValue(func() point { return parse(os.Getenv(Variable)) })

// hits counts how often the armed point was reached.
var hits atomic.Int64

type point struct {
	name string
	nth  int64
}

// parse panics on what it does not understand: a test that arms nothing would
// show nothing.
func parse(text string) point {
	if text == "" {
		return point{}
	}
	name, rest, _ := strings.Cut(text, ":")
	action, count, counted := strings.Cut(rest, ":")
	nth, err := int64(1), error(nil)
	if counted {
		nth, err = strconv.ParseInt(count, 10, 64)
	}
	if name == "" || action != "kill" || err != nil || nth < 1 {
		panic(Variable + " must be name:kill or name:kill:nth")
	}
	return point{name, nth}
}

// Hit ends the process with SIGKILL when the point called name is armed and
// this is the hit that it waits for.
func Hit(name string) {
	if p := armed(); name != p.name || hits.Add(1) != p.nth {
		return
	}
	fmt.Fprintf(os.Stderr, "failpoint %s: killed here\n", name)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal arrives before anything else could
}
