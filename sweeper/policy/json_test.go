package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write testdata/whole.json anew")

// effective are the categories of the whole language as lint -o json has them.
func effective(t *testing.T) (Set, []byte) {
	t.Helper()
	set, err := Parse([]File{{Path: "whole.yaml", Source: whole(t)}}, Defaults{AllowRawSQL: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(set.Categories)
	if err != nil {
		t.Fatal(err)
	}
	return set, got
}

// TestEffectiveValues holds what is printed of every key of the language.
func TestEffectiveValues(t *testing.T) {
	t.Parallel()
	_, got := effective(t)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", "whole.json")
	if *update {
		if err := os.WriteFile(path, pretty.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with: go test ./sweeper/policy -run TestEffectiveValues -update", err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("%s is not what is printed (refresh it with -update, and read the difference):\n%s", path, diff)
	}
}

// TestEffectiveValuesAreAPolicy holds that what is printed says the same as the
// file: read again, with what is not of the language taken out, it gives the same
// categories.
func TestEffectiveValuesAreAPolicy(t *testing.T) {
	t.Parallel()
	set, printed := effective(t)
	var rows []map[string]any
	if err := json.Unmarshal(printed, &rows); err != nil {
		t.Fatal(err)
	}
	categories := make(map[string]any)
	for _, row := range rows {
		name := row["category"].(string)
		for _, key := range []string{"category", "file", "line", "timezone", "posture", "regulation", "not_applied"} {
			if _, ok := row[key]; !ok {
				t.Errorf("%s is not printed", key)
			}
			delete(row, key)
		}
		categories[name] = withoutEmpty(row)
	}
	source, err := json.Marshal(map[string]any{"version": 1, "timezone": "Europe/Berlin", "categories": categories})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse([]File{{Path: "again.json", Source: source}}, Defaults{AllowRawSQL: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(set.Categories, again.Categories,
		cmpopts.IgnoreFields(Category{}, "At", "Ats"), cmpopts.IgnoreFields(NotApplied{}, "Position"),
		cmpopts.SortSlices(func(a, b Redaction) bool { return a.Column < b.Column }),
		cmpopts.SortSlices(func(a, b JSONPath) bool { return a.Path < b.Path }),
		cmpopts.SortSlices(func(a, b Match) bool { return a.Other < b.Other }),
	); diff != "" {
		t.Error(diff)
	}
}

// withoutEmpty takes out what stands for a key that was not written.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			switch inner := withoutEmpty(inner).(type) {
			case nil:
				delete(v, key)
			case map[string]any:
				if len(inner) == 0 {
					delete(v, key)
				}
			case []any:
				if len(inner) == 0 {
					delete(v, key)
				}
			}
		}
	case []any:
		for _, inner := range v {
			withoutEmpty(inner)
		}
	}
	return v
}
