package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

var loadGroup = group{
	lines:   []string{"load-p99", "load-p99.9", "load-p50", "load-sweep-rate", "load-p99-unpaced", "load-p99-bare-delete"},
	measure: load,
}

// script is four reads to one update, of rows that are not due.
const script = `\set id random(%d, %d)
\set what random(1, 5)
\if :what = 1
update bench.rows set who = who where id = :id;
\else
select payload from bench.rows where id = :id;
\endif
`

const (
	warmUp  = 5  // seconds, in which the backlog of pgbench's start is drained
	seconds = 20 // of the load alone, before a sweep and after it

	pacedSeconds = 60 // that the paced sweep takes: its start is not what lasts
)

// load puts a pgbench load of a third of the machine's capacity beside a sweep that
// is paced, one that is not, and a bare DELETE of the same rows, and compares its
// latencies while they are under way with those of the same load alone.
func load(ctx context.Context, b *bench) error {
	if err := b.template(ctx, "timeorder", fmt.Sprintf(rowsDDL, b.rows, "i")); err != nil {
		return err
	}
	file := filepath.Join(b.work, "load.sql")
	if err := os.WriteFile(file, fmt.Appendf(nil, script, b.rows/2+1, b.rows), 0o600); err != nil {
		return err
	}
	s, err := b.site(ctx, "timeorder", rowsPolicies)
	if err != nil {
		return err
	}
	all, err := s.pgbench(ctx, file, 0, seconds)
	if err != nil {
		return err
	}
	rate := float64(len(all)) / seconds / 3
	if err := s.drop(ctx); err != nil {
		return err
	}
	paced, pace, err := b.paced()
	if err != nil {
		return err
	}
	whole, few := b.rows/2, min(b.rows/2, pacedSeconds*pace)
	if err := b.template(ctx, "paced", fmt.Sprintf(rowsDDL, b.rows, "i"), fmt.Sprintf(`delete from bench.rows where id <= %d`, whole-few)); err != nil {
		return err
	}
	sweep := func(due int) func(context.Context, *site) (float64, error) {
		return func(ctx context.Context, s *site) (float64, error) {
			t, err := s.swept(ctx, "rows", int64(due))
			return t.deleted, err
		}
	}
	kinds := []struct {
		name, policies string
		template       string
		due            int
		env            []string
		seconds        int // that it takes at most
		work           func(context.Context, *site) (float64, error)
		beside
	}{
		{name: "paced", template: "paced", due: few, policies: rowsPolicies, env: paced, seconds: 20 + few*6/5/pace, work: sweep(few)},
		{name: "unpaced", template: "timeorder", due: whole, policies: rowsPolicies, seconds: 20 + whole/20000, work: sweep(whole)},
		{name: "bare", template: "timeorder", due: whole, seconds: 20 + whole/20000, work: func(ctx context.Context, s *site) (float64, error) { return s.exec(ctx, bareDelete) }},
	}
	for range b.runs {
		for i := range kinds {
			k := &kinds[i]
			if k.name == "unpaced" && !b.wants("load-p99-unpaced") || k.name == "bare" && !b.wants("load-p99-bare-delete") {
				continue
			}
			s, err := b.site(ctx, k.template, k.policies, k.env...)
			if err != nil {
				return err
			}
			if err := k.measure(ctx, s, file, rate, k.seconds, k.policies != "", k.work); err != nil {
				return fmt.Errorf("%s, beside a load of %.0f transactions/s: %w", k.name, rate, err)
			}
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
	}
	for _, k := range kinds {
		if len(k.took) == 0 {
			continue
		}
		p99, alone := middle(k.p99), middle(k.alone99)
		against := fmt.Sprintf("p99 %.2f ms of pgbench at %.0f transactions/s alone", alone, rate)
		speed := float64(k.due) / middle(k.took)
		switch k.name {
		case "paced":
			b.add("load-p99", p99/alone, "x its p99", fmt.Sprintf("%s; beside a sweep with %s, which ends at %.0f rows/s", against, b.pace, speed), atMost(1.25))
			b.add("load-p99.9", middle(k.p999)/middle(k.alone999), "x its p99.9", fmt.Sprintf("the same, p99.9 %.2f ms", middle(k.alone999)), figure)
			b.add("load-p50", middle(k.p50)/middle(k.alone50), "x its p50", fmt.Sprintf("the same, p50 %.2f ms", middle(k.alone50)), figure)
			b.add("load-sweep-rate", speed, "rows/s of that sweep", b.pace, figure)
		case "unpaced":
			b.add("load-p99-unpaced", p99/alone, "x its p99", fmt.Sprintf("%s; beside a sweep without a limit, %.0f rows/s", against, speed), figure)
		case "bare":
			b.add("load-p99-bare-delete", p99/alone, "x its p99", fmt.Sprintf("%s; beside one bare DELETE without log, %.0f rows/s", against, speed), figure)
		}
	}
	return nil
}

// paced are the settings of the sweep that is paced, and how many rows a second
// they allow.
func (b *bench) paced() (env []string, rows int, err error) {
	env = strings.Fields(b.pace)
	for _, setting := range env {
		if text, ok := strings.CutPrefix(setting, "SWEEPER_ROWS_PER_SECOND="); ok {
			if rows, err = strconv.Atoi(text); err != nil {
				return nil, 0, fmt.Errorf("-pace: %w", err)
			}
		}
	}
	if rows < 1 {
		return nil, 0, errors.New("-pace must have SWEEPER_ROWS_PER_SECOND")
	}
	return env, rows, nil
}

// beside is what each run of something showed: its own seconds, and latencies in
// ms of the load while it was under way, and before and after it.
type beside struct{ took, p999, p99, p50, alone999, alone99, alone50 []float64 }

func (all *beside) measure(ctx context.Context, s *site, file string, rate float64, atMost int, follows bool, work func(context.Context, *site) (float64, error)) error {
	alone, err := s.pgbench(ctx, file, rate, seconds)
	if err != nil {
		return err
	}
	if follows {
		// A sidecar reads along all the time: what the load wrote before is not the
		// sweep's to read.
		if _, err := s.sweeper(ctx, "sweep", "--category", "quiet"); err != nil {
			return err
		}
	}
	type result struct {
		began, ended time.Time
		took         float64
		err          error
	}
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		r := result{err: pause(working, warmUp*time.Second)}
		if r.began = time.Now(); r.err == nil {
			r.took, r.err = work(working, s)
		}
		r.ended = time.Now()
		done <- r
	}()
	loaded, err := s.pgbench(ctx, file, rate, atMost)
	end := time.Now()
	if err != nil {
		cancel()
	}
	r := <-done
	switch {
	case err != nil:
		return err
	case r.err != nil:
		return r.err
	case r.ended.After(end):
		return fmt.Errorf("it took %s, and the load ended before it", r.ended.Sub(r.began).Round(time.Second))
	}
	after, err := s.pgbench(ctx, file, rate, seconds)
	if err != nil {
		return err
	}
	with, without := loaded.between(r.began, r.ended), append(alone.all(), after.all()...)
	if len(with) == 0 {
		return fmt.Errorf("no transaction of the load ended within the %s that it took; give -rows more", r.ended.Sub(r.began))
	}
	all.took = append(all.took, r.took)
	all.p999, all.alone999 = append(all.p999, percentile(with, 0.999)), append(all.alone999, percentile(without, 0.999))
	all.p99, all.p50 = append(all.p99, percentile(with, 0.99)), append(all.p50, percentile(with, 0.5))
	all.alone99, all.alone50 = append(all.alone99, percentile(without, 0.99)), append(all.alone50, percentile(without, 0.5))
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// latency is that of one transaction, in ms, the wait for its turn included.
type latency struct {
	ended time.Time
	ms    float64
}

type latencies []latency

func (l latencies) all() []float64 { return l.between(time.Time{}, time.Now()) }

func (l latencies) between(from, to time.Time) []float64 {
	var all []float64
	for _, one := range l {
		if one.ended.After(from) && one.ended.Before(to) {
			all = append(all, one.ms)
		}
	}
	return all
}

// pgbench runs the load for its warm-up and so many seconds, and returns the
// transactions after the warm-up. A rate of 0 is as fast as it can.
func (s *site) pgbench(ctx context.Context, file string, rate float64, seconds int) (latencies, error) {
	dir, err := os.MkdirTemp(s.b.work, "pgbench-")
	if err != nil {
		return nil, err
	}
	pgbench, err := tool(s.b.server, "pgbench")
	if err != nil {
		return nil, err
	}
	args := []string{"-n", "-f", file, "-c", "4", "-j", "1", "-M", "prepared", "-T", strconv.Itoa(warmUp + seconds), "-l", "--log-prefix", filepath.Join(dir, "log")}
	if rate > 0 {
		args = append(args, "-R", fmt.Sprintf("%.0f", rate))
	}
	cmd := exec.CommandContext(ctx, pgbench, append(args, s.b.server.URL(s.name, pgserver.Superuser))...)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", pgbench, err, out)
	}
	all, err := readLatencies(dir, began.Add(warmUp*time.Second))
	return all, errors.Join(err, os.RemoveAll(dir))
}

// readLatencies reads pgbench's log: client, number, latency in us, script,
// second and us of its end.
func readLatencies(dir string, from time.Time) (latencies, error) {
	names, err := filepath.Glob(filepath.Join(dir, "log*"))
	if err != nil {
		return nil, err
	}
	var all latencies
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 6 {
				continue
			}
			us, err1 := strconv.ParseFloat(fields[2], 64)
			second, err2 := strconv.ParseInt(fields[4], 10, 64)
			micro, err3 := strconv.ParseInt(fields[5], 10, 64)
			if err := errors.Join(err1, err2, err3); err != nil {
				return nil, fmt.Errorf("read pgbench's log: %w", err)
			}
			if ended := time.Unix(second, micro*1000); !ended.Before(from) {
				all = append(all, latency{ended, us / 1000})
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, errors.New("pgbench logged no transaction")
	}
	return all, nil
}
