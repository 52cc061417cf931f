package pgserver

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const oldestMajor = 14

// patterns are the folders where packages install server binaries, each group
// sorted by the newest major.
var patterns = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // Red Hat, from PostgreSQL's own packages
	"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
	"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
	"/usr/local/pgsql/bin",               // built from source
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// binaries is a folder of server binaries that run on this machine.
type binaries struct {
	dir   string
	from  string // "", or a word before "server binaries"
	major int
	env   []string            // of every process started from the folder
	cred  *syscall.Credential // who runs them; nil is ourselves
}

// installed finds the binaries that are on the machine.
func installed(ctx context.Context, o Options) (*binaries, error) {
	cred, err := owner()
	if err != nil {
		return nil, err
	}
	if dir := cmp.Or(o.BinDir, os.Getenv("SWEEPER_PG_BIN")); dir != "" {
		b, err := probe(ctx, dir, cred)
		if err != nil {
			return nil, fmt.Errorf("use the server binaries in %s: %w", dir, err)
		}
		return b, nil
	}
	for _, dir := range candidates() {
		b, err := probe(ctx, dir, cred)
		if err == nil {
			return b, nil
		}
		o.Log.DebugContext(ctx, "server binaries passed over", "dir", dir, "err", err)
	}
	return nil, absent("no server binaries of PostgreSQL %d or newer in PATH or in the usual folders", oldestMajor)
}

// candidates lists the folders that hold both postgres and initdb. What
// stands alone in PATH may be a wrapper that is no server.
func candidates() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(majorIn(b), majorIn(a)) })
		dirs = append(dirs, found...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !holds(dir, "postgres") || !holds(dir, "initdb") })
}

var number = regexp.MustCompile(`\d+`)

// majorIn is the last number in a folder's name, for sorting.
func majorIn(dir string) int {
	all := number.FindAllString(dir, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1])
	return n
}

func holds(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// probe runs postgres --version as the user that would run the server, which
// also finds folders that this user cannot enter and missing libraries.
func probe(ctx context.Context, dir string, cred *syscall.Credential) (*binaries, error) {
	if !holds(dir, "postgres") || !holds(dir, "initdb") {
		return nil, fmt.Errorf("postgres and initdb are not both in %s", dir)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b := &binaries{dir: dir, env: environment(dir), cred: cred}
	out, err := b.command(ctx, "postgres", "--version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run %s --version: %w: %s", filepath.Join(dir, "postgres"), err, lastLines(string(out)))
	}
	match := versionLine.FindStringSubmatch(string(out))
	if match == nil {
		return nil, fmt.Errorf("run %s --version: the answer names no version", filepath.Join(dir, "postgres"))
	}
	b.major, _ = strconv.Atoi(match[1])
	if b.major < oldestMajor {
		return nil, fmt.Errorf("PostgreSQL %d in %s is older than %d", b.major, dir, oldestMajor)
	}
	return b, nil
}

// command prepares one of the binaries, to run as the server's user in a
// folder that this user can enter.
func (b *binaries) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, name), args...)
	cmd.Env = b.env
	cmd.Dir = string(filepath.Separator)
	cmd.SysProcAttr = attributes(b.cred, false)
	return cmd
}

// environment is ours without what would steer PostgreSQL elsewhere: libpq's
// variables and the locale, whose words we look for in the log. Relocated
// builds carry libpq beside bin, and find it only when told.
func environment(dir string) []string {
	const libraryPath = "LD_LIBRARY_PATH"
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || name == "LANG" || name == "LANGUAGE"
	})
	env = append(env, "LC_ALL=C")
	lib := filepath.Join(filepath.Dir(filepath.Clean(dir)), "lib")
	if found, _ := filepath.Glob(filepath.Join(lib, "libpq.*")); len(found) > 0 {
		paths := lib
		if old := os.Getenv(libraryPath); old != "" {
			paths += string(filepath.ListSeparator) + old
		}
		env = append(env, libraryPath+"="+paths)
	}
	return env
}
