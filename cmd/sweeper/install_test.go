package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInstall(t *testing.T) {
	t.Parallel()
	s := newSite(t, eventsDDL, eventsPolicy)
	before := s.fingerprint(t)

	printed := s.must(t, "install", "--print")
	for _, want := range []string{"BEGIN;\n", "CREATE SCHEMA IF NOT EXISTS sweeper", "pg_create_logical_replication_slot('" + s.db.Slot() + "'"} {
		if !strings.Contains(printed.stdout, want) {
			t.Errorf("--print: %q is not in\n%.500s", want, printed.stdout)
		}
	}
	if diff := cmp.Diff(before, s.fingerprint(t)); diff != "" {
		t.Errorf("--print changed the database:\n%s", diff)
	}

	first := s.must(t, "install")
	t.Log(first.stderr)
	for _, want := range []string{
		"sweeper: installed: the schema\n", "sweeper: installed: tables, functions and views of schema sweeper\n", "sweeper: installed: privileges on app.events\n", "sweeper: installed: slot " + s.db.Slot() + "\n",
		`\password sweeper_daemon`,
	} {
		if strings.Count(first.stderr, want) != 1 {
			t.Errorf("install: not once %q in\n%s", want, first.stderr)
		}
	}
	after := s.fingerprint(t)
	second := s.must(t, "install")
	if first.stdout != "" || second.stdout != "" || !strings.HasPrefix(second.stderr, "sweeper: nothing to do in database ") {
		t.Errorf("install again: %+v", second)
	}
	if strings.Contains(second.stderr, "password") {
		t.Errorf("install again still speaks of passwords: %s", second.stderr)
	}
	if diff := cmp.Diff(after, s.fingerprint(t)); diff != "" {
		t.Errorf("the second install changed the database:\n%s", diff)
	}
	if again := s.must(t, "install", "--print"); again.stdout != "" || !strings.Contains(again.stderr, "nothing to do") {
		t.Errorf("--print after install: %+v", again)
	}
}

// What only the owner of a table can do is printed for them, each time.
func TestInstallByOwners(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", strings.Replace(eventsPolicy, "app.events", "app.parted", 1))
	owner := s.db.Role(t, "owner", "nologin")
	s.db.Exec(t, `create schema app;
		create table app.parted (id bigint, at timestamptz not null, tenant text, who text, primary key (id, at)) partition by range (at);
		create table app.parted_old partition of app.parted for values from ('2020-01-01') to ('2020-02-01');
		alter table app.parted owner to `+owner+`; alter table app.parted_old owner to `+owner)
	want := "  -- lets due partitions of app.parted be dropped whole; without it they go by rows\n  GRANT \"" + owner + "\" TO sweeper_owner;\n"
	for range 2 {
		if got := s.must(t, "install"); !strings.Contains(got.stderr, want) {
			t.Errorf("%q is not in\n%s", want, got.stderr)
		}
	}
	if got := s.must(t, "install", "--print"); !strings.Contains(got.stdout, "GRANT \""+owner+"\" TO sweeper_owner;") {
		t.Errorf("--print: %+v", got)
	}
}
