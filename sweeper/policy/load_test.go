package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write makes files below a fresh folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, source := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func named(name string) string {
	return strings.Replace(category("delete: {after: P5Y}"), "  c:", "  "+name+":", 1)
}

func TestLoadDirectory(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"b.yaml": named("b"), "a.yml": named("a"), "data/real.yaml": named("linked"),
		".hidden.yaml": "x", "notes.txt": "x", "sub/c.yaml": "x", "dir.yaml/c.yaml": "x", "b.yaml.bak": "x",
	})
	// Mounted configuration is links into a folder that is swapped.
	if err := os.Symlink(filepath.Join("data", "real.yaml"), filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	set, err := Load(Defaults{}, dir, filepath.Join(dir, "a.yml"), dir+"/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range set.Categories {
		got = append(got, c.Name+" "+filepath.Base(c.At.File))
	}
	if diff := cmp.Diff([]string{"a a.yml", "b b.yaml", "linked link.yaml"}, got); diff != "" {
		t.Error(diff)
	}
	if one, err := Load(Defaults{}, filepath.Join(dir, "notes.txt")); err == nil || len(one.Categories) != 0 {
		t.Error("a named file is read whatever it is called")
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"bad.yaml": category("delete: {after: 5}", "mode: x"), "huge.yaml": many("#", maxBytes+1),
		"good.yaml": named("good"), "empty/readme": "", "worse.yaml": "a: [",
	})
	_, err := Load(Defaults{}, filepath.Join(dir, "missing.yaml"), dir, filepath.Join(dir, "empty"), filepath.Join(dir, "good.yaml", "x"))
	if err == nil {
		t.Fatal("no error")
	}
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() { //nolint:errorlint // Load promises a join
		var pe *Error
		if !errors.As(e, &pe) {
			t.Fatalf("%T is no *Error", e)
		}
		first, _, _ := strings.Cut(strings.ReplaceAll(e.Error(), dir+"/", ""), "\n")
		got = append(got, first)
	}
	want := []string{
		`bad.yaml:6:21: a unit is missing: "5 years"? "5 days"?`,
		`bad.yaml:7:11: unknown value "x"; known here: enforce, observe`,
		"empty: the directory holds no .yaml file; put a policy file there",
		"good.yaml/x: not a directory",
		"huge.yaml: 1048577 bytes; the limit is 1 MiB (1048576 bytes), split the file",
		"missing.yaml: no such file or directory",
		"worse.yaml:1:4: not valid YAML: sequence end token ']' not found",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadOdd(t *testing.T) {
	t.Parallel()
	if _, err := Load(Defaults{}); err == nil || !strings.Contains(err.Error(), "SWEEPER_POLICIES") {
		t.Errorf("no path: %v", err)
	}
	if _, err := Load(Defaults{}, os.DevNull); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("device: %v", err)
	}
}
