package main

import (
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
)

func TestCurrentRelease(t *testing.T) {
	t.Parallel()
	none := func() (*debug.BuildInfo, bool) { return nil, false }
	built := func(version string, settings ...debug.BuildSetting) func() (*debug.BuildInfo, bool) {
		return func() (*debug.BuildInfo, bool) {
			return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}, true
		}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "abc"}
	for name, tc := range map[string]struct {
		linked string
		build  func() (*debug.BuildInfo, bool)
		want   string
	}{
		"nothing known": {"", none, "sweeper devel (go"},
		"go run":        {"", built("(devel)"), "sweeper devel (go"},
		"go install":    {"", built("v1.2.3"), "sweeper v1.2.3 (go"},
		"checkout":      {"", built("(devel)", commit), "sweeper devel (commit abc, go"},
		"linked":        {"v2.0.0", built("v1.2.3", commit), "sweeper v2.0.0 (commit abc, go"},
	} {
		if got := currentRelease(tc.linked, tc.build).String(); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestVersionVerb(t *testing.T) {
	t.Parallel()
	if got := try(t, nil, []string{"version"}); got.code != 0 || !strings.HasPrefix(got.stdout, "sweeper ") || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	got := try(t, nil, []string{"version", "-o", "json"})
	var document []map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &document); err != nil || len(document) != 1 {
		t.Fatalf("%v in %q", err, got.stdout)
	}
	for _, field := range []string{"version", "commit", "go_version", "platform"} {
		if _, ok := document[0][field]; !ok {
			t.Errorf("%s is missing", field)
		}
	}
}
