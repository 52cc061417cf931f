package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// freeAddr is an address that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestHealth asks a daemon how it is while its slot is there and when it has
// gone, by both verbs that ask.
func TestHealth(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	addr := "SWEEPER_HTTP_ADDR=" + freeAddr(t)
	if got := s.try(t, []string{"health"}, addr); got.code != exitUnreachable || !strings.HasPrefix(got.stderr, "sweeper: no daemon answers at http://127.0.0.1:") || !strings.Contains(got.stderr, "connection refused") {
		t.Errorf("without a daemon: %+v", got)
	}
	p := s.process(t, []string{"run"}, addr)
	pgtest.Eventually(t, "the daemon is well", func() bool { return s.try(t, []string{"health"}, addr).code == exitDone })
	want := "[+]database ok\n[+]schema ok\n[+]clock ok\n[+]slot ok\n[+]publications ok\n[+]log ok\n[+]chain ok\n[+]mismatches ok\n[+]policies ok\nreadyz check passed\n"
	if got := s.try(t, []string{"health"}, addr); got.stdout != want || got.stderr != "" {
		t.Errorf("well: %+v", got)
	}
	got := s.try(t, []string{"status"}, addr)
	if got.code != exitDone || !strings.Contains(got.stderr, "sweeper: daemon: healthy\n") || strings.Contains(strings.Split(got.stdout, "\n")[1], " - ") && !strings.Contains(got.stdout, "T03:00:00Z") {
		t.Errorf("status: %+v", got)
	}
	other := installed(t, eventsDDL, eventsPolicy)
	if got := other.try(t, []string{"status"}, addr); !strings.Contains(got.stderr, "sweeper: daemon: none for this log answers on this machine") {
		t.Errorf("status of another database: %+v", got)
	}

	// Policies that cannot be used stop nothing, and are not kept quiet.
	policies := func(text string) {
		if err := os.WriteFile(s.policies, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	policies(strings.Replace(eventsPolicy, "P30D", "soon", 1))
	pgtest.Eventually(t, "the policies are refused", func() bool {
		got = s.try(t, []string{"status"}, addr)
		return !strings.Contains(got.stderr, "sweeper: daemon: healthy\n")
	})
	if want := "sweeper: daemon: purging may go on, and not all is well: policies failed: those in force are older than those on disk, which cannot be used: " + s.policies + ":8:21: "; got.code != exitDone || !strings.Contains(got.stderr, want) {
		t.Errorf("status with broken policies: %+v", got)
	}
	policies(eventsPolicy)
	pgtest.Eventually(t, "the policies are good again", func() bool {
		return strings.Contains(s.try(t, []string{"status"}, addr).stderr, "sweeper: daemon: healthy\n")
	})
	pgtest.Eventually(t, "it is said", func() bool {
		return strings.Contains(p.said(), "policies reloaded: those on disk can be used again, and are in force")
	})

	s.db.Exec(t, `drop publication sweeper_stamp`)
	pgtest.Eventually(t, "the daemon is ill", func() bool { return s.try(t, []string{"health"}, addr).code == exitFailed })
	ill := s.try(t, []string{"health"}, addr)
	if !strings.Contains(ill.stdout, "[-]publications failed: publication sweeper_stamp does not exist; run: sweeper install\n") || ill.stderr != "sweeper: purging is paused\n" {
		t.Errorf("ill: %+v", ill)
	}
	if got := s.try(t, []string{"status"}, addr); got.code != exitIntegrity || !strings.Contains(got.stderr, "sweeper: daemon: publications failed: publication sweeper_stamp does not exist") {
		t.Errorf("status when ill: %+v", got)
	}
}

func TestHealthOfStrangers(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	if got := try(t, []string{"SWEEPER_HTTP_ADDR=" + stranger.Listener.Addr().String()}, []string{"health"}); got.code != exitUnreachable || !strings.Contains(got.stderr, "is no sweeper: 404") {
		t.Errorf("%+v", got)
	}
	if got := try(t, []string{"SWEEPER_HTTP_ADDR="}, []string{"health"}); got.code != exitSetup || !strings.HasPrefix(got.stderr, "sweeper: SWEEPER_HTTP_ADDR: is off") {
		t.Errorf("%+v", got)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		":9637": "127.0.0.1:9637", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "127.0.0.1:2": "127.0.0.1:2", "10.0.0.7:3": "10.0.0.7:3", "localhost:4": "localhost:4",
	} {
		if got := loopback(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}
