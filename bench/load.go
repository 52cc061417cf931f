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
	lines:   []string{"load-p99", "load-p50", "load-sweep-rate"},
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
	warmUp  = 3 // seconds, in which a backlog of pgbench's start is drained
	seconds = 20
)

// load puts a pgbench load of a third of the machine's capacity beside a sweep,
// and compares its latencies with those of the same load alone.
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
	all, err := s.pgbench(ctx, file, 0)
	if err != nil {
		return err
	}
	rate := float64(len(all)) / seconds / 3
	if err := s.drop(ctx); err != nil {
		return err
	}
	var p99, p50, alone99, alone50, swept []float64
	for range b.runs {
		s, err := b.site(ctx, "timeorder", rowsPolicies)
		if err != nil {
			return err
		}
		alone, err := s.pgbench(ctx, file, rate)
		if err != nil {
			return err
		}
		sweep := make(chan error, 1)
		began := time.Now()
		var times sweepTimes
		sweeping, cancel := context.WithCancel(ctx)
		go func() {
			time.Sleep(warmUp * time.Second)
			t, err := s.swept(sweeping, "rows", int64(b.rows/2))
			times = t
			sweep <- err
		}()
		beside, err := s.pgbench(ctx, file, rate)
		if err != nil {
			cancel()
			return err
		}
		if err := <-sweep; err != nil {
			cancel()
			return fmt.Errorf("a sweep beside a load of %.0f transactions/s for %s: %w", rate, time.Since(began).Round(time.Second), err)
		}
		cancel()
		alone99, alone50 = append(alone99, percentile(alone, 0.99)), append(alone50, percentile(alone, 0.5))
		p99, p50 = append(p99, percentile(beside, 0.99)), append(p50, percentile(beside, 0.5))
		swept = append(swept, float64(b.rows/2)/times.deleted)
		if err := s.drop(ctx); err != nil {
			return err
		}
	}
	b.add("load-p99", middle(p99)/middle(alone99), "x its p99", fmt.Sprintf("pgbench at %.0f transactions/s alone, p99 %.2f ms", rate, middle(alone99)), atMost(1.25))
	b.add("load-p50", middle(p50)/middle(alone50), "x its p50", fmt.Sprintf("the same, p50 %.2f ms", middle(alone50)), figure)
	b.add("load-sweep-rate", middle(swept), "rows/s of the sweep beside it", "", figure)
	return nil
}

// pgbench runs the load for its time and returns each transaction's latency
// after the warm-up, in ms, the wait for its turn included. A rate of 0 is as
// fast as it can.
func (s *site) pgbench(ctx context.Context, file string, rate float64) ([]float64, error) {
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
	latencies, err := readLatencies(dir, began.Add(warmUp*time.Second))
	return latencies, errors.Join(err, os.RemoveAll(dir))
}

// readLatencies reads pgbench's log: client, number, latency in us, script,
// second and us of its end.
func readLatencies(dir string, from time.Time) ([]float64, error) {
	names, err := filepath.Glob(filepath.Join(dir, "log*"))
	if err != nil {
		return nil, err
	}
	var all []float64
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
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("read pgbench's log: %w", err)
			}
			if second >= from.Unix() {
				all = append(all, us/1000)
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
