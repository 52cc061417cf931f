package pgserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	folderPrefix = "sweeper-pg-"
	claimName    = "in-use.lock"
)

// claim marks a server's folder as in use: a lock on a file in it, held while
// the file is open here or in a process that inherited it. The file gets its
// name only when it is locked, so that nobody ever sees it free too early.
func claim(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "claim-")
	if err != nil {
		return nil, fmt.Errorf("claim the server's folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, claimName))
	}
	if err != nil {
		return nil, fmt.Errorf("claim the server's folder: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// removeAbandoned removes the folders in parent that servers of this user left
// behind when their owner was killed. It is a kindness to the disk: what
// cannot be removed stays.
func removeAbandoned(parent string, uid uint32) {
	dirs, _ := filepath.Glob(filepath.Join(parent, folderPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != uid {
			continue
		}
		f, err := os.Open(filepath.Join(dir, claimName))
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}
