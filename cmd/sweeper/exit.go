package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// The exit codes, part of the interface.
const (
	exitDone        = 0
	exitFailed      = 1 // failed, or partly done
	exitSetup       = 2 // usage, configuration, policy, or a server not set up for us
	exitIntegrity   = 3 // the log is not whole
	exitApproval    = 4 // plan out of date, or approval needed
	exitDeferred    = 5 // an erasure waits for a hold
	exitUnreachable = 6 // cannot decide or reach
)

// severity orders the codes for several outcomes at once: the first that
// occurs is the exit code of all.
var severity = []int{exitIntegrity, exitUnreachable, exitSetup, exitFailed, exitApproval, exitDeferred, exitDone}

// worst returns the code that stands for all of codes; exitDone for none.
func worst(codes ...int) int {
	for _, code := range severity {
		if slices.Contains(codes, code) {
			return code
		}
	}
	return exitDone
}

// sentinels are the errors of our packages that mean a code of their own.
var sentinels = []struct {
	err  error
	code int
}{
	{wal.ErrSlotLost, exitIntegrity},
	{wal.ErrDiverged, exitIntegrity},
	{wal.ErrOutOfOrder, exitIntegrity},
	{sweeper.ErrAnchorBroken, exitIntegrity},
	{purgelog.ErrBroken, exitIntegrity},
	{sweeper.ErrAnchorUnreachable, exitUnreachable},
	{purgelog.ErrForeign, exitSetup},
	{purgelog.ErrKey, exitSetup},
	{purgelog.ErrHMACKey, exitSetup},
	{purgelog.ErrFolder, exitSetup},
	{wal.ErrSlotMissing, exitSetup},
	{wal.ErrPublicationMissing, exitSetup},
	{wal.ErrNotReplication, exitSetup},
	{wal.ErrPooler, exitSetup},
	{pgserver.ErrNotFound, exitSetup},
	{sweeper.ErrMismatch, exitIntegrity},
	{sweeper.ErrPlanChanged, exitApproval},
}

// exitError is an error that knows its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage is an error in what the command line says.
func usage(err error) error { return &exitError{exitSetup, err} }

// argument makes an error that the server found in an argument of one of our
// SQL functions an error of usage. Elsewhere the same codes come from rows.
func argument(err error) error {
	switch pg.SQLState(err) {
	case "22004", "22023", "42601", "42602", "0A000": // the last three: not the name of a relation
		return usage(err)
	}
	return err
}

// errClosed says that whoever read stdout has gone. It is no failure of ours.
var errClosed = errors.New("stdout is closed")

// exitCode maps err to the code that the interface gives it, joined errors to
// the worst of theirs. An exitError decides for all that it wraps.
func exitCode(err error) int {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) { //nolint:errorlint // each layer is looked at alone
		case *exitError:
			return e.code
		case interface{ Unwrap() []error }:
			code := exitDone
			for _, one := range e.Unwrap() {
				code = worst(code, exitCode(one))
			}
			return code
		}
	}
	return classify(err)
}

// classify gives the code of an error that joins no others.
func classify(err error) int {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	var config *sweeper.ConfigError
	var setup *sweeper.SetupError
	var bad *policy.Error
	var file *fs.PathError
	switch {
	case err == nil, errors.Is(err, errClosed):
		return exitDone
	case errors.As(err, &config), errors.As(err, &setup), errors.As(err, &bad):
		return exitSetup
	case errors.As(err, &file):
		return exitFailed // the error number in it would pass for one of the network
	}
	switch pg.Classify(err) {
	case pg.Unreachable:
		return exitUnreachable
	case pg.Setup:
		return exitSetup
	}
	return exitFailed
}

// joined returns the errors that err joins, at whatever depth below single
// wraps, or nil.
func joined(err error) []error {
	for ; err != nil; err = errors.Unwrap(err) {
		if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // each layer is looked at alone
			return many.Unwrap()
		}
	}
	return nil
}

// printError prints err to w: one line for each of joined errors, and policy
// errors as they are, with their source line and caret. Of an interrupted run
// it says only that.
func printError(ctx context.Context, w io.Writer, err error) {
	var bad *policy.Error
	text, all := "", joined(err)
	switch {
	case err == nil, errors.Is(err, errClosed) && len(all) == 0:
		return
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		text = "sweeper: interrupted"
	case len(all) > 0 && strings.Contains(err.Error(), "\n"):
		for _, one := range all {
			printError(ctx, w, one)
		}
		return
	case errors.As(err, &bad):
		text = cleanLines(bad.Error())
	default:
		text = "sweeper: " + sweeper.Printable(err.Error())
	}
	_, _ = fmt.Fprintln(w, text)
}

// cleanLines makes text printable and keeps its lines and tabs.
func cleanLines(text string) string {
	var b strings.Builder
	for text != "" {
		end := strings.IndexAny(text, "\n\t")
		if end < 0 {
			end = len(text)
		}
		b.WriteString(sweeper.Printable(text[:end]))
		if text = text[end:]; text != "" {
			b.WriteByte(text[0])
			text = text[1:]
		}
	}
	return b.String()
}

// pipe is stdout: a reader that has gone away is told from other errors.
type pipe struct{ w io.Writer }

func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return n, errClosed
	case err != nil:
		return n, fmt.Errorf("write to stdout: %w", err)
	}
	return n, nil
}
