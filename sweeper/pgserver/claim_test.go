package pgserver

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestOnlyAbandonedFoldersAreRemoved(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	folder := func(name string) string {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	folder("sweeper-pg-new") // made, and not yet claimed
	for name, held := range map[string]bool{"sweeper-pg-held": true, "sweeper-pg-free": false, "another": false} {
		f, err := claim(folder(name))
		if err != nil {
			t.Fatal(err)
		}
		if held {
			defer f.Close()
		} else if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	removeAbandoned(parent, uint32(os.Geteuid()+1))
	if got, want := entries(t, parent), []string{"another", "sweeper-pg-free", "sweeper-pg-held", "sweeper-pg-new"}; !slices.Equal(got, want) {
		t.Errorf("as another user: got %q, want %q", got, want)
	}
	removeAbandoned(parent, uint32(os.Geteuid()))
	if got, want := entries(t, parent), []string{"another", "sweeper-pg-held", "sweeper-pg-new"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
