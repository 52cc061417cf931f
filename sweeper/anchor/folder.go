package anchor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// largest bounds what is read of a file that is no note of ours: those have a
// few hundred bytes.
const largest = 64 << 10

// folder is an anchor in the file system.
type folder struct{ dir string }

func (f *folder) String() string { return "file://" + f.dir }

// Put writes beside the place and links into it: the file appears whole or not
// at all, and a link never replaces one.
func (f *folder) Put(_ context.Context, c proof.Checkpoint, note []byte) error {
	op := func(err error) error { return fmt.Errorf("keep checkpoint %d in %s: %w", c.Size, f, err) }
	if err := checkName(c.Origin); err != nil {
		return op(err)
	}
	path := filepath.Join(f.dir, filepath.FromSlash(name(c.Origin, c.Size)))
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return op(err)
	}
	temp, err := writeTemp(dir, note)
	if err != nil {
		return op(err)
	}
	err = os.Link(temp, path)
	_ = os.Remove(temp)
	if errors.Is(err, fs.ErrExist) {
		there, read := readFile(path)
		if read == nil && !bytes.Equal(there, note) {
			read = ErrEquivocation
		}
		err = read
	}
	if err != nil {
		return op(err)
	}
	// The name must be as durable as the bytes, and so must the folder's own.
	for _, d := range []string{dir, f.dir} {
		if err := syncDir(d); err != nil {
			return op(err)
		}
	}
	return nil
}

// writeTemp writes and syncs a file of its own name.
func writeTemp(dir string, b []byte) (path string, err error) {
	file, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(b)
	for _, step := range []func() error{func() error { return file.Chmod(0o444) }, file.Sync} {
		if err == nil {
			err = step()
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(file.Name())
	}
	return file.Name(), err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Origins names the folders that look like those of a log. A folder that is
// not there yet holds nothing; but the place that it is made in must be there,
// so that a volume that is not mounted does not pass for an empty anchor.
func (f *folder) Origins(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, above := os.Stat(filepath.Dir(f.dir)); above == nil {
			return nil, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", f, err)
	}
	var all []string
	for _, e := range entries {
		if e.IsDir() && folderName.MatchString(e.Name()) {
			all = append(all, proof.OriginPrefix+e.Name())
		}
	}
	return all, nil
}

func (f *folder) List(_ context.Context, origin string, from uint64) ([]Kept, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, folderOf(origin)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", f, err)
	}
	var all []Kept
	for _, e := range entries {
		if size, ok := sizeOf(e.Name()); ok && size >= from {
			all = append(all, Kept{Origin: origin, Size: size})
		}
	}
	slices.SortFunc(all, func(a, b Kept) int { return cmp.Compare(a.Size, b.Size) })
	return all, nil
}

func (f *folder) Read(_ context.Context, k Kept) ([]byte, error) {
	b, err := readFile(filepath.Join(f.dir, filepath.FromSlash(name(k.Origin, k.Size))))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %d in %s: %w", k.Size, f, err)
	}
	return b, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > largest {
		return nil, errors.New("the file is too large for a checkpoint")
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
