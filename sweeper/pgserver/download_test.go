package pgserver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// testdata/binaries.txz is what the library keeps of a download: an archive of
// the server's folder, here with three scripts in bin.
func TestFetchUnpacksWhatIsCached(t *testing.T) {
	t.Parallel()
	archive, err := os.ReadFile(filepath.Join("testdata", "binaries.txz"))
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	for _, platform := range []string{"linux-amd64", "linux-arm64v8", "linux-amd64-alpine", "linux-arm64v8-alpine", "darwin-amd64", "darwin-arm64v8"} {
		name := "embedded-postgres-binaries-" + platform + "-" + string(downloadVersion) + ".txz"
		if err := os.WriteFile(filepath.Join(cache, name), archive, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(cache, "postgresql")
	for range 2 { // the second finds the place taken, as another process would
		if err := fetch(t.Context(), cache, dir); err != nil {
			t.Fatal(err)
		}
	}
	if !holds(filepath.Join(dir, "bin"), "postgres") || !holds(filepath.Join(dir, "bin"), "initdb") {
		t.Error("the binaries are not in place")
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "unpack-*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestDownloadIntoAFolderThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var absent *absentError
	if err := fetch(t.Context(), file, filepath.Join(file, "postgresql")); !errors.As(err, &absent) {
		t.Errorf("got %v, want the next way to be tried", err)
	}
}
