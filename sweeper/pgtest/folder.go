package pgtest

import (
	"os"
	"syscall"
)

const (
	memory   = "/dev/shm"
	roomy    = 8 << 30 // bytes
	folderOf = "SWEEPER_TEST_DIR"
)

// folder is where a server for tests lives: where SWEEPER_TEST_DIR says, else
// in memory where there is plenty of it, else among the temporary files (""). A
// database is some nine hundred small files, which a file system on a disk
// takes up to thirty times as long to make.
func folder() string {
	if dir := os.Getenv(folderOf); dir != "" {
		return dir
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < roomy {
		return ""
	}
	return memory
}
