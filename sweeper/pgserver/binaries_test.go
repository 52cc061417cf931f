package pgserver

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// script writes an executable shell script.
func script(t *testing.T, dir, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestBinDirIsTakenAtItsWord(t *testing.T) {
	t.Parallel()
	old := open(t)
	script(t, old, "postgres", `echo "postgres (PostgreSQL) 13.23"`)
	script(t, old, "initdb", "exit 1")
	mute := open(t)
	script(t, mute, "postgres", "exit 3")
	script(t, mute, "initdb", "exit 1")
	for _, test := range []struct{ dir, want string }{
		{open(t), "not both"},
		{old, "PostgreSQL 13 in " + old + " is older than 14"},
		{mute, "exit status 3"},
	} {
		_, err := Start(t.Context(), Options{BinDir: test.dir})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
		if errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want other sources untried", err)
		}
	}
}

func TestEnvironmentNamesTheBinaries(t *testing.T) {
	t.Setenv("SWEEPER_PG_BIN", "/nowhere/bin")
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/bin") {
		t.Errorf("got %v, want an error that names the folder", err)
	}
}

func TestWrapperWithoutInitdbIsNoCandidate(t *testing.T) {
	dir := open(t)
	script(t, dir, "postgres", "exit 1")
	t.Setenv("PATH", dir)
	if got := candidates(); slices.Contains(got, dir) {
		t.Errorf("candidates: got %q, want no %s", got, dir)
	}
}

func TestMajorIn(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]int{
		"/usr/lib/postgresql/15/bin":              15,
		"/usr/pgsql-17/bin":                       17,
		"/opt/homebrew/opt/postgresql@18/bin":     18,
		"/usr/local/pgsql/bin":                    0,
		"/srv/2024/postgresql/9/bin":              9,
		"/opt/homebrew/opt/postgresql@14/bin/x/y": 14,
	} {
		if got := majorIn(dir); got != want {
			t.Errorf("%s: got %d, want %d", dir, got, want)
		}
	}
}

func TestEnvironmentOfServerProcesses(t *testing.T) {
	root := open(t)
	bin, lib := filepath.Join(root, "bin"), filepath.Join(root, "lib")
	for _, dir := range []string{bin, lib} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PGDATA", "/elsewhere")
	t.Setenv("LANG", "de_DE.UTF-8")
	t.Setenv("LD_LIBRARY_PATH", "/old")
	if got := environment(bin); !slices.Contains(got, "LD_LIBRARY_PATH=/old") {
		t.Errorf("without libpq beside bin: got %q, want the path as it was", got)
	}
	if err := os.WriteFile(filepath.Join(lib, "libpq.so.5"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got := environment(bin)
	if want := "LD_LIBRARY_PATH=" + lib + ":/old"; got[len(got)-1] != want {
		t.Errorf("got %q at the end, want %q", got[len(got)-1], want)
	}
	for _, kv := range got {
		if strings.HasPrefix(kv, "PGDATA=") || strings.HasPrefix(kv, "LANG=") {
			t.Errorf("%s was passed on", kv)
		}
	}
}

func TestNotFoundNamesEveryWay(t *testing.T) {
	t.Setenv("PATH", open(t))
	_, err := Start(t.Context(), Options{Sources: []Source{Docker}})
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	for _, way := range []string{"apt-get install", "brew install", "SWEEPER_PG_BIN", "SWEEPER_DEMO_IMAGE", "internet", "no docker command"} {
		if !strings.Contains(err.Error(), way) {
			t.Errorf("%q is not in %q", way, err)
		}
	}
}
