package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestWhatCannotBeMeasured has a group whose peer is not installed, after it has
// reported one of its lines, and one that fails: each line that was asked for is
// reported, and only the failure is an error.
func TestWhatCannotBeMeasured(t *testing.T) {
	b := &bench{output: "json", chosen: regexp.MustCompile("a|b")}
	for _, c := range []struct {
		g    group
		want string
	}{
		{group{[]string{"a1", "a2", "c"}, func(_ context.Context, b *bench) error {
			b.add("a1", 2, "s", "nothing", atMost(1))
			return missing("pg_nothing")
		}}, ""},
		{group{[]string{"b1"}, func(context.Context, *bench) error { return errors.New("it broke") }}, "measure b1: it broke"},
		{group{[]string{"b2"}, func(_ context.Context, b *bench) error { b.add("b2", 3, "x", "it", figure); return nil }}, ""},
	} {
		err := b.measure(t.Context(), c.g)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%v ends with %v, want %q", c.g.lines, err, c.want)
		}
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(printed(t, b)), &got); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, against string
		value         any
		ok            bool
	}{
		{"a1", "nothing", 2.0, false},
		{"a2", "not measured: pg_nothing is not installed", nil, false},
		{"b1", "not measured: it broke", nil, false},
		{"b2", "it", 3.0, true},
	}
	if len(got) != len(want) {
		t.Fatalf("printed %v", got)
	}
	for i, w := range want {
		if g := got[i]; g["name"] != w.name || g["against"] != w.against || g["value"] != w.value || g["ok"] != w.ok {
			t.Errorf("printed %v, want %v", g, w)
		}
	}
	b.output = "table"
	if table := printed(t, b); !strings.Contains(table, "not measured: it broke") || strings.Count(table, "NO") != 1 {
		t.Errorf("printed %s", table)
	}
}

// TestEachLineHasOneGroup would find a line that -list names twice.
func TestEachLineHasOneGroup(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, name := range g.lines {
			if seen[name] {
				t.Errorf("%s is measured twice", name)
			}
			seen[name] = true
		}
	}
}

// printed is what goes to stdout.
func printed(t *testing.T, b *bench) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	err = b.print()
	os.Stdout = stdout
	_ = w.Close()
	text, read := io.ReadAll(r)
	if err := errors.Join(err, read); err != nil {
		t.Fatal(err)
	}
	return string(text)
}
