package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemon is `sweeper run` on a site.
type daemon struct {
	cmd *exec.Cmd
}

// run starts the daemon and returns when it owns the slot.
func (s *site) run(ctx context.Context) (*daemon, error) {
	d := &daemon{exec.CommandContext(ctx, s.b.binary(), "run")}
	d.cmd.Env, d.cmd.Stderr = s.env, os.Stderr
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	return d, s.until(ctx, `select active from pg_replication_slots where slot_name = '`+s.slot+`'`)
}

// stop ends it as an orchestrator would.
func (d *daemon) stop() error {
	return errors.Join(d.cmd.Process.Signal(syscall.SIGTERM), d.cmd.Wait())
}

// status is a number of kB from /proc/PID/status.
func (d *daemon) status(field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); name == field {
			return strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		}
	}
	return 0, fmt.Errorf("no %s in the status of the daemon", field)
}

// ticks is the CPU time that it has used, in clock ticks of 10 ms.
func (d *daemon) ticks() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return user + system, errors.Join(err, err2)
}

// until polls until a query says true.
func (s *site) until(ctx context.Context, sql string) error {
	for {
		var yes *bool
		if err := s.admin.QueryRow(ctx, sql).Scan(&yes); err != nil {
			return fmt.Errorf("wait for %q: %w", first(sql, 80), err)
		}
		if yes != nil && *yes {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var idleGroup = group{
	lines: []string{"idle-memory", "idle-cpu"},
	measure: func(ctx context.Context, b *bench) error {
		s, d, err := b.idleDaemon(ctx)
		if err != nil {
			return err
		}
		const pause = time.Minute
		time.Sleep(5 * time.Second) // what it does at its start
		before, err := d.ticks()
		if err != nil {
			return err
		}
		time.Sleep(pause)
		after, err := d.ticks()
		if err != nil {
			return err
		}
		rss, err := d.status("VmRSS")
		if err != nil {
			return err
		}
		b.add("idle-memory", rss/1024, "MiB resident", "a daemon with nothing to do", atMost(30))
		b.add("idle-cpu", (after-before)/pause.Seconds(), "% of a core", "a daemon with nothing to do, one minute", atMost(0.2))
		return errors.Join(d.stop(), s.drop(ctx))
	},
}

const quietOnly = `version: 1
categories:
  quiet: {table: bench.quiet, start_from: at, delete: {after: P5Y}}
`

const quietDDL = `create schema bench; create table bench.quiet (id bigint primary key, at timestamptz not null)`

func (b *bench) idleDaemon(ctx context.Context) (*site, *daemon, error) {
	if err := b.template(ctx, "quiet", quietDDL); err != nil {
		return nil, nil, err
	}
	s, err := b.site(ctx, "quiet", quietOnly)
	if err != nil {
		return nil, nil, err
	}
	d, err := s.run(ctx)
	return s, d, err
}

var memoryGroup = group{
	lines: []string{"memory-large-transaction"},
	measure: func(ctx context.Context, b *bench) error {
		s, d, err := b.idleDaemon(ctx)
		if err != nil {
			return err
		}
		n := 5 * b.rows
		if _, err := s.exec(ctx, `insert into bench.quiet select i, now() from generate_series(1, $1::int) i`, n); err != nil {
			return err
		}
		if _, err := s.exec(ctx, `delete from bench.quiet`); err != nil {
			return err
		}
		if err := s.until(ctx, fmt.Sprintf(`select exists (select from sweeper.purge_log where row_count = %d)`, n)); err != nil {
			return err
		}
		peak, err := d.status("VmHWM")
		if err != nil {
			return err
		}
		b.add("memory-large-transaction", peak/1024, "MiB resident at most", fmt.Sprintf("one transaction of somebody else's that deletes %d rows", n), atMost(48))
		if err := d.stop(); err != nil {
			return err
		}
		return s.drop(ctx)
	},
}
