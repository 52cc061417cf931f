package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// downloadVersion is the newest that the library knows by name.
const downloadVersion = embedded.V18

// downloaded finds the binaries that were downloaded, or downloads them.
func downloaded(ctx context.Context, o Options) (*binaries, error) {
	cred, err := owner()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "postgresql-"+string(downloadVersion))
	if !holds(filepath.Join(dir, "bin"), "postgres") {
		if err := download(ctx, o, cache, dir); err != nil {
			return nil, err
		}
	}
	b, err := probe(ctx, filepath.Join(dir, "bin"), cred)
	if err != nil {
		return nil, absent("the downloaded server binaries do not run: %v", err)
	}
	b.from = "downloaded "
	return b, nil
}

// cacheDir is where downloads are kept. Root's own folders are closed to the
// user that the server then runs as.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/sweeper", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("choose the folder for downloads: %w", err)
	}
	return filepath.Join(dir, "sweeper"), nil
}

// download fetches and unpacks the binaries into dir. It takes no notice of
// ctx while the library is at work, which offers no way to stop it: when ctx
// ends, download returns, and the rest of the work ends with the process.
func download(ctx context.Context, o Options, cache, dir string) error {
	o.Log.InfoContext(ctx, "downloading server binaries", "version", string(downloadVersion))
	fetched := make(chan error, 1)
	go func() { fetched <- fetch(ctx, cache, dir) }()
	select {
	case err := <-fetched:
		return err
	case <-ctx.Done():
		return fmt.Errorf("download server binaries: %w", context.Cause(ctx))
	}
}

// fetch unpacks into a folder of its own and moves it into place whole, so
// that nobody sees half of it and several processes may do so at once.
//
// The library does more than is wanted of it: after unpacking it starts a
// server, which root may not. It is handed a data directory without
// configuration, so that this last step always fails, for root and others
// alike; what counts is whether the binaries are there.
func fetch(ctx context.Context, cache, dir string) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return absent("server binaries cannot be kept: %v", err)
	}
	work, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return absent("server binaries cannot be kept: %v", err)
	}
	defer os.RemoveAll(work)
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	data, unpacked := filepath.Join(work, "data"), filepath.Join(work, "unpacked")
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("download server binaries: %w", err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("18\n"), 0o600); err != nil {
		return fmt.Errorf("download server binaries: %w", err)
	}
	server := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloadVersion).Port(uint32(port)).Logger(io.Discard).
		CachePath(cache).DataPath(data).RuntimePath(filepath.Join(work, "run")).BinariesPath(unpacked))
	startErr := server.Start()
	if startErr == nil {
		startErr = errors.Join(errors.New("the library started a server on no data"), server.Stop())
	}
	if !holds(filepath.Join(unpacked, "bin"), "postgres") {
		return absent("server binaries cannot be downloaded: %v", startErr)
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return fmt.Errorf("keep server binaries: %w", err)
	}
	if err := os.Rename(unpacked, dir); err != nil && !holds(filepath.Join(dir, "bin"), "postgres") {
		return fmt.Errorf("keep server binaries: %w", err)
	}
	return nil
}
