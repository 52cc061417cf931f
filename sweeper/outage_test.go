package sweeper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// TestOutageIsToldOnceAMinute has three parts fail ten minutes long by a clock
// of the test's own.
func TestOutageIsToldOnceAMinute(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := &bytes.Buffer{}
	o := newOutage(slog.New(slog.NewTextHandler(b, nil)), func() time.Time { return now })
	cause := pg.Wrap("look at the server", fmt.Errorf("closed: %w", errCut))
	parts := []string{partLog, partSchedules, partPolicies}
	for range 600 {
		for _, part := range parts {
			o.failed(t.Context(), part, cause)
		}
		now = now.Add(time.Second)
	}
	if got := strings.Count(b.String(), "\n"); got != 10 {
		t.Errorf("ten minutes are told in %d lines:\n%s", got, b)
	}
	if !strings.Contains(b.String(), "consecutive_errors=1621") {
		t.Errorf("the last line does not count the failures of all parts:\n%s", b)
	}
	b.Reset()
	for _, part := range append(parts, parts...) {
		o.over(t.Context(), part)
	}
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "database is back") {
		t.Errorf("the end is told as:\n%s", got)
	}
	b.Reset()
	o.failed(t.Context(), partLog, cause)
	if got := strings.Count(b.String(), "\n"); got != 1 {
		t.Errorf("the next outage begins with %d lines", got)
	}
}

// TestOutageThatWaitingDoesNotMend is told as an error, by the same measure.
func TestOutageThatWaitingDoesNotMend(t *testing.T) {
	t.Parallel()
	b := &bytes.Buffer{}
	o := newOutage(slog.New(slog.NewTextHandler(b, nil)), time.Now)
	for range 3 {
		o.failed(t.Context(), partLog, errors.New("no such slot"))
	}
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") {
		t.Errorf("told as:\n%s", got)
	}
}

// TestNextCauseIsToldAtOnce: whoever has mended one thing waits for word of it,
// and must not wait for a minute to hear of the next.
func TestNextCauseIsToldAtOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := &bytes.Buffer{}
	o := newOutage(slog.New(slog.NewTextHandler(b, nil)), func() time.Time { return now })
	for i, cause := range []error{io.ErrUnexpectedEOF, errors.New("no such slot"), io.ErrUnexpectedEOF, errors.New("fork it"), errors.New("no such slot")} {
		o.failed(t.Context(), partLog, cause)
		want := []int{1, 2, 2, 3, 3}[i]
		if got := strings.Count(b.String(), "\n"); got != want {
			t.Errorf("after %v: %d lines, want %d:\n%s", cause, got, want, b)
		}
	}
	for i := range 100 {
		o.failed(t.Context(), partLog, fmt.Errorf("held by %d", i))
	}
	if got := strings.Count(b.String(), "\n"); got > 1+mostLasting {
		t.Errorf("causes that are always others fill the log: %d lines", got)
	}
}

// TestPausesStayShort waits through hours of an outage: no pause may keep what
// is mended from showing within 10 s, and none may hammer the server.
func TestPausesStayShort(t *testing.T) {
	t.Parallel()
	const watching = watchAgain + watchTimeout // until the monitor tells
	var longest, all time.Duration
	for range 20 {
		b := newBackoff()
		for range 2000 {
			pause := b.NextBackOff()
			longest, all = max(longest, pause), all+pause
		}
	}
	if longest > longestPause || longest+watching > 10*time.Second {
		t.Errorf("a pause of %s, and up to %s until it is told", longest, watching)
	}
	if mean := all / (20 * 2000); mean < 2*time.Second {
		t.Errorf("one try every %s in a long outage", mean)
	}
	for range 100 {
		if first := newBackoff().NextBackOff(); first < 50*time.Millisecond || first > time.Second {
			t.Errorf("the first pause is %s", first)
		}
	}
}
