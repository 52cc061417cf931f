package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pgsweeper/sweeper/policies"
)

// Load reads policy files and directories; of a directory its *.yaml and *.yml,
// without those below it or hidden. Every file is read before anything is said:
// the error joins all errors of all files, each an [*Error], and the Set is then
// empty.
func Load(d Defaults, paths ...string) (Set, error) {
	if len(paths) == 0 {
		return Set{}, errors.New("no policy file or directory is named; set SWEEPER_POLICIES or name one")
	}
	var files []File
	var errs []*Error
	for _, p := range names(paths, &errs) {
		source, err := read(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files = append(files, File{Path: p, Source: source})
	}
	set, more := parseAll(files, d)
	if errs = append(errs, more...); len(errs) > 0 {
		return Set{}, joinErrors(sorted(errs))
	}
	return set, nil
}

// Parse reads policy files that are in memory. Errors are as those of [Load].
func Parse(files []File, d Defaults) (Set, error) {
	set, errs := parseAll(files, d)
	if len(errs) > 0 {
		return Set{}, joinErrors(sorted(errs))
	}
	return set, nil
}

func sorted(errs []*Error) []*Error {
	slices.SortStableFunc(errs, byPlace)
	return errs
}

// names resolves paths to files, each once.
func names(paths []string, errs *[]*Error) []string {
	var all []string
	for _, p := range paths {
		p = filepath.Clean(p)
		// Stat follows links: mounted configuration is made of them.
		info, err := os.Stat(p)
		if err != nil {
			*errs = append(*errs, unreadable(p, err))
			continue
		}
		if !info.IsDir() {
			all = append(all, p)
			continue
		}
		inside, err := directory(p)
		if err != nil {
			*errs = append(*errs, unreadable(p, err))
			continue
		}
		if len(inside) == 0 {
			*errs = append(*errs, &Error{Position{File: p}, "the directory holds no .yaml file; put a policy file there"})
		}
		all = append(all, inside...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func directory(dir string) ([]string, error) {
	inside, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range inside {
		ext := filepath.Ext(e.Name())
		if strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		p := filepath.Join(dir, e.Name())
		if info, err := os.Stat(p); err == nil && info.IsDir() || shipped(p) {
			continue
		}
		all = append(all, p)
	}
	return all, nil
}

// shipped tells whether the file is the catalogue of regulations, which lies
// beside the sample sets and is no policy.
func shipped(path string) bool {
	if filepath.Base(path) != "regulations.yaml" {
		return false
	}
	source, err := read(path)
	return err == nil && bytes.Equal(source, policies.Regulations)
}

// read returns the bytes of a regular file of at most 1 MiB.
func read(path string) ([]byte, *Error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case !info.Mode().IsRegular():
		return nil, &Error{Position{File: path}, "not a regular file; name a policy file or a directory of them"}
	case info.Size() > maxBytes:
		return nil, &Error{Position{File: path}, tooLarge(info.Size())}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	// One byte over the limit is enough for a file that grew meanwhile.
	source, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	return source, nil
}

func unreadable(path string, err error) *Error {
	reason := err.Error()
	var at *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		reason = "no such file or directory"
	case errors.Is(err, fs.ErrPermission):
		reason = "permission denied; let this user read it"
	case errors.As(err, &at):
		reason = at.Err.Error()
	}
	return &Error{Position{File: path}, reason}
}

// parseAll reads every file, then what only all of them together can show.
func parseAll(files []File, d Defaults) (Set, []*Error) {
	zone := cmp.Or(d.Timezone, "UTC")
	if err := checkZone(zone); err != nil {
		return Set{}, []*Error{{Reason: fmt.Sprintf("SWEEPER_TIMEZONE: %v", err)}}
	}
	set := Set{Files: slices.SortedStableFunc(slices.Values(files), byBaseName)}
	set.SHA256 = hash(set.Files)
	c := collector{set: &set, defaults: d, named: make(map[string]Position), texts: make(map[string]said), broken: make(map[string]bool)}
	for _, f := range set.Files {
		c.file(f, zone)
	}
	slices.SortFunc(set.Categories, func(a, b Category) int { return cmp.Compare(a.Name, b.Name) })
	c.together()
	if len(c.errs) > 0 {
		return Set{}, c.errs
	}
	return set, nil
}

// Fingerprint sums up the files that Load would read, and what cannot be read,
// to see whether it is worth reading them again.
func Fingerprint(paths ...string) [32]byte {
	var errs []*Error
	var files []File
	for _, p := range names(paths, &errs) {
		source, err := read(p)
		if err != nil {
			errs = append(errs, err)
		}
		files = append(files, File{p, []byte(p)}, File{p, source})
	}
	for _, err := range errs {
		files = append(files, File{Source: []byte(err.Error())})
	}
	return hash(files)
}
