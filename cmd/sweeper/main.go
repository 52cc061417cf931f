// Command sweeper deletes what the retention policies of a PostgreSQL database
// say is due, and proves from the write-ahead log what it did.
//
// Each verb has a file of its own. Data goes to stdout, words go to stderr,
// and the exit codes stand in exit.go. Nothing below this package writes to
// stdout or ends the process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	// A reader that goes away must not kill a sweep between two batches: a
	// write to it fails instead, and ends the printing.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal kills
	a := &app{
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		environ: os.Environ(),
		now:     time.Now,
		verbs:   allVerbs,
	}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
