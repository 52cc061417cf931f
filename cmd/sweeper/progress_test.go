package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgressLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	clock := time.Unix(0, 0)
	p := newProgress(&out, "rows", false, func() time.Time { return clock })
	for i := range int64(7) {
		p.Update(i*100, 700, "sweep \x1b[2J")
		clock = clock.Add(400 * time.Millisecond)
	}
	p.Update(699, 700, "last")
	p.Done()
	p.Update(700, 700, "too late")
	p.Done()
	want := `sweep \u001b[2J: 0 of 700 rows (0 %)
sweep \u001b[2J: 300 of 700 rows (42 %)
sweep \u001b[2J: 600 of 700 rows (85 %)
last: 699 of 700 rows (99 %)
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestProgressLinesWithoutTotal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out, "rows", false, time.Now)
	p.Done()
	if out.Len() > 0 {
		t.Errorf("nothing was done: %q", out.String())
	}
	p = newProgress(&out, "rows", false, time.Now)
	p.Update(5, 0, "")
	p.Done()
	if out.String() != "5 rows\n" {
		t.Errorf("%q", out.String())
	}
	for _, terminal := range []bool{false, true} {
		out.Reset()
		p = newProgress(&out, "entries", terminal, time.Now)
		p.Update(5, 10, "verify")
		p.Done()
		if text := out.String(); strings.Contains(text, "rows") || !terminal && text != "verify: 5 of 10 entries (50 %)\n" {
			t.Errorf("terminal %v: %q", terminal, text)
		}
	}
}

func TestProgressBar(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		updates [][2]int64
		want    string // the last line
	}{
		"all":              {[][2]int64{{0, 100}, {50, 100}, {100, 100}}, "100% |██████████████████████████████| (100/100"},
		"stopped":          {[][2]int64{{0, 100}, {50, 100}}, "50% |███████████████               | (50/100"},
		"growing":          {[][2]int64{{50, 100}, {120, 200}, {150, 200}}, "75% |██████████████████████        | (150/200"},
		"beyond":           {[][2]int64{{150, 100}}, "100% |██████████████████████████████| (150/150"},
		"again after full": {[][2]int64{{100, 100}, {150, 300}}, "50% |███████████████               | (150/300"},
		"unknown":          {[][2]int64{{1, 0}, {500, 0}}, "(500/-"},
		"known later":      {[][2]int64{{1, 0}, {10, 20}}, "50% |███████████████               | (10/20"},
		"nothing":          {[][2]int64{{0, 0}}, "(0/-"},
	} {
		for _, step := range []time.Duration{0, time.Second} {
			var out bytes.Buffer
			clock := time.Unix(1, 0)
			p := newProgress(&out, "rows", true, func() time.Time { clock = clock.Add(step); return clock })
			for _, u := range tc.updates {
				p.Update(u[0], u[1], "kyc.\x1b[2Japplicants")
			}
			p.Done()
			p.Update(1, 2, "too late")
			p.Done()
			text := out.String()
			last := text[strings.LastIndexByte(strings.TrimRight(text, " \n"), '\r')+1:]
			if !strings.Contains(last, tc.want) || !strings.HasSuffix(text, "\n") {
				t.Errorf("%s, an update each %v: ends with %q, want %q", name, step, last, tc.want)
			}
			if strings.Contains(text, "\x1b[2J") || strings.Contains(text, "too late") {
				t.Errorf("%s: %q", name, text)
			}
		}
	}
}

func TestProgressConcurrently(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		p := newProgress(&out, "rows", terminal, time.Now)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := range int64(50) {
					p.Update(i, 50, "x")
				}
			})
		}
		group.Wait()
		p.Done()
		if !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("terminal %v: %q", terminal, out.String())
		}
	}
}
