package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

var decodeGroup = group{
	lines:   []string{"decode-unix", "decode-tcp"},
	measure: decode,
}

// decode has both read the same write-ahead log of a million deletes, in
// transactions of 10 000: pg_recvlogical throws it away, sweeper commits it to
// the purge log.
func decode(ctx context.Context, b *bench) error {
	recvlogical, err := tool(b.server, "pg_recvlogical")
	if err != nil {
		return err
	}
	if err := b.template(ctx, "timeorder", fmt.Sprintf(rowsDDL, b.rows, "i")); err != nil {
		return err
	}
	for _, by := range []struct {
		line string
		url  func(database, user string) string
		t    target
	}{{"decode-unix", b.server.SocketURL, atLeast(0.7)}, {"decode-tcp", b.server.URL, atLeast(1.5)}} {
		if !b.wants(by.line) {
			continue
		}
		var theirs, ours []float64
		for range b.runs {
			s, err := b.site(ctx, "timeorder", rowsPolicies)
			if err != nil {
				return err
			}
			s.env = append(s.env, "SWEEPER_REPLICATION_URL="+by.url(s.name, "sweeper_logger"))
			if _, err := s.sweeper(ctx, "sweep", "--category", "quiet"); err != nil { // the log has begun
				return err
			}
			if err := s.deleteInParts(ctx, b.rows/2); err != nil {
				return err
			}
			took, err := s.peer(ctx, recvlogical, by.url(s.name, pgserver.Superuser))
			if err != nil {
				return err
			}
			theirs = append(theirs, took)
			if took, err = s.sweeper(ctx, "sweep", "--category", "quiet"); err != nil {
				return err
			}
			still, err := s.sweeper(ctx, "sweep", "--category", "quiet")
			if err != nil {
				return err
			}
			ours = append(ours, took-still)
			if n, err := s.number(ctx, `select sum(row_count) from sweeper.purge_log where reason = 'out_of_policy'`); err != nil || n != float64(b.rows/2) {
				return errors.Join(err, fmt.Errorf("the log has %.0f rows, want %d", n, b.rows/2))
			}
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
		b.add(by.line, middle(theirs)/middle(ours), "x its rate", fmt.Sprintf("pg_recvlogical -f /dev/null of the same WAL, %.0f rows/s; ours %.0f rows/s, committed", float64(b.rows/2)/middle(theirs), float64(b.rows/2)/middle(ours)), by.t)
	}
	return nil
}

// deleteInParts deletes as an application might, with a second slot that shows
// the same to the peer.
func (s *site) deleteInParts(ctx context.Context, n int) error {
	if _, err := s.exec(ctx, `select pg_create_logical_replication_slot($1, 'pgoutput')`, s.name+"_peer"); err != nil {
		return err
	}
	for from := 0; from < n; from += 10000 {
		if _, err := s.exec(ctx, `delete from bench.rows where id > $1 and id <= $2`, from, min(n, from+10000)); err != nil {
			return err
		}
	}
	return nil
}

// peer is pg_recvlogical up to where the WAL ends.
func (s *site) peer(ctx context.Context, tool, at string) (float64, error) {
	var end string
	if err := s.admin.QueryRow(ctx, `select pg_current_wal_flush_lsn()::text from (select pg_logical_emit_message(true, 'bench', '')) x`).Scan(&end); err != nil {
		return 0, err
	}
	if err := s.admin.QueryRow(ctx, `select pg_current_wal_flush_lsn()::text`).Scan(&end); err != nil {
		return 0, err
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, tool, "-d", at, "--slot", s.name+"_peer", "--start", "--endpos", end, "--no-loop",
		"-o", "proto_version=1", "-o", "publication_names=sweeper,sweeper_redact,sweeper_stamp", "-f", "/dev/null").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", tool, err, out)
	}
	return time.Since(began).Seconds(), nil
}

// tool finds a client program beside the server's binaries, else in PATH.
func tool(server *pgserver.Server, name string) (string, error) {
	if _, dir, ok := strings.Cut(server.How(), " in "); ok {
		if tool := filepath.Join(dir, name); exists(tool) {
			return tool, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", missing(name)
	}
	return path, nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
