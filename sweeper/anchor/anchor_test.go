package anchor_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/anchor"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func head(log byte, size uint64) proof.Checkpoint {
	return proof.Checkpoint{Origin: proof.Origin([32]byte{log}), Size: size, Root: [32]byte{byte(size)}}
}

func open(t *testing.T, url string, o anchor.Options) anchor.Anchor {
	t.Helper()
	a, err := anchor.Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func put(t *testing.T, a anchor.Anchor, c proof.Checkpoint, note string) {
	t.Helper()
	if err := a.Put(t.Context(), c, []byte(note)); err != nil {
		t.Fatal(err)
	}
}

// keeps is what every kind of anchor must do.
func keeps(t *testing.T, a anchor.Anchor) {
	t.Helper()
	ctx := t.Context()
	if got, err := a.Origins(ctx); err != nil || len(got) > 0 {
		t.Fatalf("an empty anchor has origins %q, error %v", got, err)
	}
	if got, err := a.List(ctx, head(1, 0).Origin, 0); err != nil || len(got) > 0 {
		t.Fatalf("an empty anchor lists %v, error %v", got, err)
	}
	for _, size := range []uint64{2, 10, 9} {
		put(t, a, head(1, size), "note")
	}
	put(t, a, head(2, 1_000_000_000_000), "other")
	put(t, a, head(1, 10), "note") // again
	if err := a.Put(ctx, head(1, 10), []byte("another")); !errors.Is(err, anchor.ErrEquivocation) {
		t.Errorf("another note in the place of one: %v", err)
	}
	got, err := a.Origins(ctx)
	if diff := cmp.Diff(map[string]bool{head(1, 0).Origin: true, head(2, 0).Origin: true}, set(got)); err != nil || diff != "" {
		t.Errorf("origins: %s, error %v", diff, err)
	}
	if got := sizes(t, a, 1, 0); !cmp.Equal(got, []uint64{2, 9, 10}) {
		t.Errorf("sizes %v", got)
	}
	if got := sizes(t, a, 1, 9); !cmp.Equal(got, []uint64{9, 10}) {
		t.Errorf("sizes from 9 on: %v", got)
	}
	if got := sizes(t, a, 1, 11); len(got) > 0 {
		t.Errorf("sizes from 11 on: %v", got)
	}
	list, err := a.List(ctx, head(2, 0).Origin, 0)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, error %v", list, err)
	}
	if note, err := a.Read(ctx, list[0]); err != nil || string(note) != "other" {
		t.Errorf("read %q, error %v", note, err)
	}
	if err := a.Put(ctx, proof.Checkpoint{Origin: "../x", Size: 1}, []byte("n")); err == nil {
		t.Error("an origin that leaves the folder is taken")
	}
}

func set(list []string) map[string]bool {
	all := map[string]bool{}
	for _, s := range list {
		all[s] = true
	}
	return all
}

func sizes(t *testing.T, a anchor.Anchor, log byte, from uint64) []uint64 {
	t.Helper()
	list, err := a.List(t.Context(), head(log, 0).Origin, from)
	if err != nil {
		t.Fatal(err)
	}
	var all []uint64
	for _, k := range list {
		all = append(all, k.Size)
	}
	return all
}

// race has several processes keep the same size at once: the same note is kept
// once, and of two notes one.
func race(t *testing.T, a anchor.Anchor) {
	t.Helper()
	var wg sync.WaitGroup
	failed := make([]error, 8)
	for i := range failed {
		wg.Go(func() { failed[i] = a.Put(t.Context(), head(7, 5), []byte{'a' + byte(i%2)}) })
	}
	wg.Wait()
	won := map[bool]int{}
	for i, err := range failed {
		if err != nil && !errors.Is(err, anchor.ErrEquivocation) {
			t.Errorf("put %d: %v", i, err)
		}
		if err == nil {
			won[i%2 == 0]++
		}
	}
	if len(won) != 1 || won[true]+won[false] != 4 {
		t.Errorf("of two notes %v were kept", won)
	}
	if got := sizes(t, a, 7, 0); len(got) != 1 {
		t.Errorf("kept as %v", got)
	}
}

func TestFolderKeepsCheckpoints(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "anchor")
	a := open(t, "file://"+dir, anchor.Options{})
	keeps(t, a)
	race(t, a)
	path := filepath.Join(dir, strings.Repeat("0", 0)+"01"+strings.Repeat("0", 30), "00000000000000000010.txt")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("%v, error %v", info, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// A folder that cannot be read is no empty anchor.
func TestFolderThatIsNotThere(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "not mounted", "anchor")
	if got, err := open(t, "file://"+missing, anchor.Options{}).Origins(t.Context()); err == nil {
		t.Errorf("what is not mounted has origins %q", got)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := open(t, "file://"+file, anchor.Options{})
	if _, err := a.Origins(t.Context()); err == nil {
		t.Error("a file passes for an empty anchor")
	}
	if err := a.Put(t.Context(), head(1, 1), []byte("n")); err == nil {
		t.Error("a checkpoint was kept in a file")
	}
}

// Files that somebody has put into the folder neither count nor disturb.
func TestFolderWithOtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := open(t, "file://"+dir, anchor.Options{})
	put(t, a, head(1, 3), "note")
	own := filepath.Join(dir, "01"+strings.Repeat("0", 30))
	for _, name := range []string{"README", "lost+found/x", "01/00000000000000000001.txt", own + "/4.txt", own + "/000000000000000000004.txt", own + "/99999999999999999999.txt", own + "/.new-1"} {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := a.Origins(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("%q, error %v", got, err)
	}
	if got := sizes(t, a, 1, 0); !cmp.Equal(got, []uint64{3}) {
		t.Errorf("sizes %v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                     "a folder is written file:///path",
		"/dir":                                 "a folder is written file:///path",
		"file://dir":                           "a folder is written file:///path",
		"file:///d?x=1":                        "a folder is written file:///path",
		"https://b":                            "a folder is written file:///path",
		"s3:///prefix":                         "a folder is written file:///path",
		"s3://key:hunter2@b":                   "credentials do not belong into it",
		"s3://b?hunter2=1":                     "it knows endpoint and region",
		"s3://b?endpoint=host":                 "its endpoint must be http:// or https:// and a host",
		"s3://b?endpoint=https://u:hunter2@h/": "its endpoint must be",
		"s3://b\x00":                           "it is not a URL",
	} {
		_, err := anchor.Open(url, anchor.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "u:hunter2") {
			t.Errorf("%q: got %v, want %q", url, err, want)
		}
	}
}
