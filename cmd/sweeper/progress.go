package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/pgsweeper/sweeper/sweeper"
)

// progress shows how far something is that takes long. Its methods may be
// called from several goroutines; after Done they do nothing.
type progress interface {
	// Update says that done of total are through; total 0 is not known yet.
	// The note names what is being worked on, never a value.
	Update(done, total int64, note string)
	// Done ends the display with the last state that Update gave.
	Done()
}

// newProgress shows things of a kind, such as rows, on w: a bar if it is a
// terminal, else lines, at most one a second and the last.
func newProgress(w io.Writer, kind string, terminal bool, now func() time.Time) progress {
	if terminal {
		return &bar{w: w, kind: kind, now: now}
	}
	return &lines{w: w, kind: kind, now: now}
}

// progress is newProgress on stderr.
func (a *app) progress(kind string) progress {
	return newProgress(a.stderr, kind, isTerminal(a.stderr), a.now)
}

// lines is progress for logs and pipes.
type lines struct {
	mu      sync.Mutex
	w       io.Writer
	kind    string // what is counted
	now     func() time.Time
	printed time.Time // of the last line
	pending string    // the last state, while it is not printed
	done    bool
}

// lineEvery is the shortest time between two lines.
const lineEvery = time.Second

func (l *lines) Update(done, total int64, note string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return
	}
	l.pending = fmt.Sprintf("%d %s", done, l.kind)
	if total > 0 {
		l.pending = fmt.Sprintf("%d of %d %s (%d %%)", done, total, l.kind, percent(done, total))
	}
	if note != "" {
		l.pending = sweeper.Printable(note) + ": " + l.pending
	}
	if now := l.now(); l.printed.IsZero() || now.Sub(l.printed) >= lineEvery {
		l.printed = now
		l.flush()
	}
}

func (l *lines) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = true
	l.flush()
}

// flush prints the pending line. Whoever reads stderr may have gone: that
// stops nobody's work.
func (l *lines) flush() {
	if l.pending != "" {
		_, _ = fmt.Fprintln(l.w, l.pending)
		l.pending = ""
	}
}

// percent is rounded down, so that 100 means all. It also keeps to 100 when an
// estimated total turns out too small.
func percent(done, total int64) int64 {
	return min(100, int64(float64(done)*100/float64(total)))
}

// bar is progress for people.
type bar struct {
	mu           sync.Mutex
	w            io.Writer
	kind         string // what is counted
	now          func() time.Time
	bar          *progressbar.ProgressBar
	drawn        time.Time // when the bar was last drawn
	count, total int64     // the last state
	note         string
	done         bool
}

// redrawEvery is the shortest time between two drawings of a bar. The library
// has such a limit as well, but holds back the last state too.
const redrawEvery = 100 * time.Millisecond

func (b *bar) Update(done, total int64, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return
	}
	b.fit(done, total)
	b.count, b.note = done, sweeper.Printable(note)
	if now := b.now(); now.Sub(b.drawn) >= redrawEvery {
		b.drawn = now
		b.draw()
	}
}

func (b *bar) Done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil && !b.done {
		b.end()
	}
	b.done = true
}

// fit sees to a bar for total, a new one where the old one is of another kind
// or full: that one would not take a larger total.
func (b *bar) fit(done, total int64) {
	if total > 0 {
		total = max(total, done) // it was an estimate
	}
	known := b.total > 0 && total > 0
	switch {
	case b.bar != nil && b.total == total:
		return
	case b.bar != nil && known && !b.bar.IsFinished():
		b.bar.ChangeMax64(total)
	case b.bar != nil:
		b.end()
		b.bar = newBar(b.w, b.kind, total)
	default:
		b.bar = newBar(b.w, b.kind, total)
	}
	b.total = total
}

func newBar(w io.Writer, kind string, total int64) *progressbar.ProgressBar {
	if total <= 0 {
		total = -1 // a spinner
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(kind),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(true),
		// Without an interval the spinner needs no goroutine of its own, which
		// would outlive an unfinished bar.
		progressbar.OptionSetSpinnerChangeInterval(0),
	)
}

// draw shows the state. Where that fails, whoever reads stderr has gone.
func (b *bar) draw() {
	b.bar.Describe(b.note)
	_ = b.bar.Set64(b.count)
}

// end leaves the bar with the last state and begins a new line.
func (b *bar) end() {
	b.draw()
	_ = b.bar.Exit()
	_, _ = fmt.Fprintln(b.w)
}
