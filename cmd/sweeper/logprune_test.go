package main

import (
	"strings"
	"testing"
	"time"
)

// TestLogPruneOfAYoungLog: nothing is old enough, and nobody makes it so.
func TestLogPruneOfAYoungLog(t *testing.T) {
	t.Parallel()
	s := installed(t, eventsDDL, eventsPolicy)
	for _, c := range []struct {
		code  int
		words string
		args  []string
	}{
		{exitDone, "nothing of the purge log is older than P7Y", nil},
		{exitDone, "nothing of the purge log is older than P7Y", []string{"--before", "2015-01-01"}},
		{exitSetup, "older than SWEEPER_LOG_RETENTION (P7Y)", []string{"--before", time.Now().AddDate(-6, 0, 0).Format(time.DateOnly)}},
		{exitSetup, "is not a time", []string{"--before", "soon"}},
		{exitSetup, "at most 1024 bytes", []string{"--reason", strings.Repeat("x", 1025)}},
	} {
		got := s.try(t, append([]string{"log", "prune", "--actor", "dpo", "--reason", "r"}, c.args...))
		if got.code != c.code || !strings.Contains(got.stderr, c.words) {
			t.Errorf("%q: %+v, want %d and %q", c.args, got, c.code, c.words)
		}
	}
	if got := s.try(t, []string{"log", "prune", "--actor", "dpo"}); got.code != exitSetup || !strings.Contains(got.stderr, "reason") {
		t.Errorf("without a reason: %+v", got)
	}
	if got := s.try(t, []string{"log", "prune", "--actor", "dpo", "--reason", "r"}, "SWEEPER_LOG_RETENTION=P6Y"); got.code != exitSetup || !strings.Contains(got.stderr, "SWEEPER_LOG_RETENTION: is shorter than 7 years") {
		t.Errorf("a shorter retention: %+v", got)
	}
}
