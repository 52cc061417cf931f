package httpd

import (
	"fmt"
	"io"
	"time"
)

// State is what the pages show.
type State struct {
	At         time.Time // when it was seen; zero: nothing was seen yet
	Ready      bool      // purging may go on
	Source     string    // names server and slot; "": not known yet
	Checks     []Check
	Facts      []Fact
	Categories []Category
}

// Check is one thing that is looked at.
type Check struct {
	Name string
	OK   bool
	Why  string // what is wrong; "" while OK
}

// Fact is a figure with its name.
type Fact struct{ Name, Text string }

// Category is one line of the status page. Texts are as they shall be read.
type Category struct {
	Name, Table, Mode, State, LastSweep, NextSweep, Due, Held, Blocked, Reason string
}

// write prints the checks as probes of Kubernetes do.
func (s State) write(w io.Writer) {
	for _, c := range s.Checks {
		if c.OK {
			_, _ = fmt.Fprintf(w, "[+]%s ok\n", c.Name)
		} else {
			_, _ = fmt.Fprintf(w, "[-]%s failed: %s\n", c.Name, c.Why)
		}
	}
	if s.Ready {
		_, _ = fmt.Fprintln(w, "readyz check passed")
	} else {
		_, _ = fmt.Fprintln(w, "readyz check failed: purging is paused")
	}
}
