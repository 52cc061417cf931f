package main

import (
	"strings"
	"syscall"
	"testing"
)

// TestFrozenUnderOtherLogins has daemons under login roles of the user's own,
// one that is granted sweeper_daemon and one that is granted sweeper_logger:
// each sees the sessions of its own role, and so whether another process of the
// same logins lives.
func TestFrozenUnderOtherLogins(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	purger := f.db.Role(t, "purges", "login in role sweeper_daemon")
	logger := f.db.Role(t, "logs", "login replication in role sweeper_logger")
	for i := range f.env {
		f.env[i] = strings.NewReplacer("//sweeper_daemon@", "//"+purger+"@", "//sweeper_logger@", "//"+logger+"@").Replace(f.env[i])
	}
	p, first := f.holder(t)
	heir := f.heir(t)
	got := f.text(t, `select string_agg(distinct usename, ' ' order by usename) from pg_stat_activity where datname = current_database() and application_name like 'sweeper/%'`)
	if want := logger + " " + purger; got != want {
		t.Fatalf("the daemons are logged in as %s, want %s; the test shows nothing", got, want)
	}
	p.signal(t, syscall.SIGSTOP)
	f.takes(t, heir)
	p.signal(t, syscall.SIGCONT)
	f.until(t, "it stands by", livesSQL, first)
	f.finishes(t, first, heir)
}
