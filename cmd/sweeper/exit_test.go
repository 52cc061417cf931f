package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	server := func(code string) error { return pg.Wrap("do it", &pgconn.PgError{Code: code}) }
	config := &sweeper.ConfigError{Variable: "SWEEPER_SLOT", Problem: "must be"}
	_, missing := os.ReadFile("testdata/no such file")
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"none":                  {nil, exitDone},
		"any":                   {errors.New("x"), exitFailed},
		"own":                   {fmt.Errorf("x: %w", &exitError{exitApproval, errors.New("y")}), exitApproval},
		"own over its cause":    {&exitError{exitFailed, server("28P01")}, exitFailed},
		"configuration":         {fmt.Errorf("x: %w", config), exitSetup},
		"policy":                {&policy.Error{Reason: "x"}, exitSetup},
		"privilege":             {server("42501"), exitSetup},
		"not installed":         {server("3F000"), exitSetup},
		"password":              {server("28P01"), exitUnreachable},
		"no database":           {server("3D000"), exitUnreachable},
		"refused":               {pg.Wrap("connect", refused), exitUnreachable},
		"no answer":             {pg.Wrap("connect", context.DeadlineExceeded), exitUnreachable},
		"interrupted":           {pg.Wrap("delete", context.Canceled), exitFailed},
		"a row":                 {server("23503"), exitFailed},
		"a file":                {fmt.Errorf("x: %w", missing), exitFailed},
		"slot lost":             {fmt.Errorf("x: %w", wal.ErrSlotLost), exitIntegrity},
		"log of another server": {fmt.Errorf("x: %w", purgelog.ErrForeign), exitSetup},
		"anchor broken":         {fmt.Errorf("x: %w", sweeper.ErrAnchorBroken), exitIntegrity},
		"anchor unreachable":    {fmt.Errorf("%w: %w", sweeper.ErrAnchorUnreachable, missing), exitUnreachable},
		"another signing key":   {fmt.Errorf("x: %w", purgelog.ErrKey), exitSetup},
		"another HMAC key":      {fmt.Errorf("x: %w", purgelog.ErrHMACKey), exitSetup},
		"mismatch":              {fmt.Errorf("x: %w", sweeper.ErrMismatch), exitIntegrity},
		"set up":                {fmt.Errorf("x: %w", &sweeper.SetupError{Problem: "x", Remedy: "y"}), exitSetup},
		"plan":                  {fmt.Errorf("x: %w", sweeper.ErrPlanChanged), exitApproval},
		"argument":              {argument(server("22023")), exitSetup},
		"not an argument":       {server("22023"), exitFailed},
		"slot missing":          {fmt.Errorf("x: %w", wal.ErrSlotMissing), exitSetup},
		"closed stdout":         {fmt.Errorf("x: %w", errClosed), exitDone},
		"closed and failed":     {errors.Join(errClosed, &exitError{exitIntegrity, errors.New("x")}), exitIntegrity},
		"joined":                {errors.Join(errors.New("x"), config), exitSetup},
		"joined, unreachable":   {fmt.Errorf("x: %w", errors.Join(config, server("08006"))), exitUnreachable},
		"joined, approval":      {errors.Join(&exitError{exitApproval, errors.New("x")}, errors.New("y")), exitFailed},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestWorst(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		codes []int
		want  int
	}{
		{nil, 0},
		{[]int{0, 0}, 0},
		{[]int{0, 5}, 5},
		{[]int{5, 4}, 4},
		{[]int{4, 1}, 1},
		{[]int{1, 2}, 2},
		{[]int{2, 6, 1}, 6},
		{[]int{4, 1, 2, 6, 3, 0}, 3},
	} {
		if got := worst(tc.codes...); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.codes, got, tc.want)
		}
	}
}

func TestPrintError(t *testing.T) {
	t.Parallel()
	at := policy.Position{File: "p.yaml", Line: 3, Column: 3, Source: "\t\tkey: 1"}
	bad := &policy.Error{Position: at, Reason: "unknown key"}
	const shown = "p.yaml:3:3: unknown key\n  \t\tkey: 1\n  \t\t^\n"
	config := &sweeper.ConfigError{Variable: "SWEEPER_SLOT", Problem: "must be"}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"none":           {nil, ""},
		"closed stdout":  {errClosed, ""},
		"closed, failed": {errors.Join(errClosed, config), "sweeper: SWEEPER_SLOT: must be\n"},
		"plain":          {errors.New("no such table"), "sweeper: no such table\n"},
		"control":        {errors.New("a\x1b[2J\nb"), "sweeper: a\\u001b[2J\\nb\n"},
		"policy":         {bad, shown},
		"policies":       {fmt.Errorf("load: %w", errors.Join(bad, bad)), shown + shown},
		"joined":         {errors.Join(config, errors.Join(errors.New("x"), bad)), "sweeper: SWEEPER_SLOT: must be\nsweeper: x\n" + shown},
		"two in one":     {fmt.Errorf("either %w or %w", config, errors.New("x")), "sweeper: either SWEEPER_SLOT: must be or x\n"},
		"joined, single": {errors.Join(config), "sweeper: SWEEPER_SLOT: must be\n"},
	} {
		var out bytes.Buffer
		printError(t.Context(), &out, tc.err)
		if out.String() != tc.want {
			t.Errorf("%s:\ngot  %q\nwant %q", name, out.String(), tc.want)
		}
	}
}
