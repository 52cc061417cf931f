package sweeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

const (
	prefix     = "SWEEPER_"
	fileSuffix = "_FILE"
	// maxFileBytes bounds what a SWEEPER_X_FILE may hold: a wrong path can
	// name a device that never ends.
	maxFileBytes = 64 << 10
)

// later are the variables of the interface that this version does not use.
var later = []string{
	"SWEEPER_WEBHOOK_URL",
	"SWEEPER_WEBHOOK_SECRET", "SWEEPER_WEBHOOK_ALLOW_CIDRS", "SWEEPER_SMTP_URL", "SWEEPER_MAIL_FROM",
	"SWEEPER_MAIL_TO",
}

// laterPrefix begins a family of later variables, one a bucket.
const laterPrefix = "SWEEPER_BUCKET_"

// elsewhere are read by `demo` and by tests, outside of Config.
var elsewhere = []string{
	"SWEEPER_DEMO_IMAGE", "SWEEPER_PG_BIN", "SWEEPER_TEST_DATABASE_URL", "SWEEPER_TEST_DIR", "SWEEPER_TEST_IMAGE",
	"SWEEPER_TEST_S3", "SWEEPER_TEST_TAG",
}

// libpqNames are the variables of libpq that say where to connect to.
var libpqNames = []string{"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"}

// environ is the environment as Load uses it.
type environ struct {
	values   map[string]string // of Config's variables, files read
	libpq    bool              // one of libpqNames is set
	problems []*ConfigError
	warnings []string
}

// readEnviron sorts list, in the form of os.Environ, into values, problems and
// warnings. Of a variable that stands twice the first counts, as in os.Getenv.
func readEnviron(list []string) environ {
	all := make(map[string]string, len(list))
	for _, entry := range list {
		name, value, _ := strings.Cut(entry, "=")
		if name == "SWEEPER_HTTP_ADDR" && value == "" {
			value = HTTPOff // the one variable in which nothing means something
		}
		if _, twice := all[name]; !twice && value != "" {
			all[name] = value
		}
	}
	env := environ{values: map[string]string{}}
	for field := range fields(&Config{}) {
		name := variable(field)
		value, problem := lookup(all, name)
		if problem != nil {
			env.problems = append(env.problems, problem)
		}
		if value != "" {
			env.values[name] = value
		}
	}
	env.libpq = slices.ContainsFunc(libpqNames, func(name string) bool { return all[name] != "" })
	env.warnings = warn(all)
	return env
}

// lookup takes a variable from the environment or from its file.
func lookup(all map[string]string, name string) (string, *ConfigError) {
	value, path := all[name], all[name+fileSuffix]
	switch {
	case path == "":
		return value, nil
	case value != "":
		return "", &ConfigError{name, "is set along with " + name + fileSuffix + "; set one of the two"}
	}
	value, err := readValue(path)
	if err != nil {
		return "", &ConfigError{name + fileSuffix, err.Error()}
	}
	return value, nil
}

// readValue reads a file that holds one value, without one newline at its end.
func readValue(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return "", unreadable(path, err)
	}
	if len(b) > maxFileBytes {
		return "", fmt.Errorf("%q is larger than %d KiB; name a file that holds the value alone", path, maxFileBytes>>10)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("%q is empty; write the value into it", path)
	}
	return value, nil
}

func unreadable(path string, err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		err = file.Err // without the path, which is quoted here
	}
	return fmt.Errorf("cannot read %q (%w); name a file that this process may read", path, err)
}

// warn looks for names that are misspelt or belong to a later version.
func warn(all map[string]string) []string {
	var known []string
	for field := range fields(&Config{}) {
		known = append(known, variable(field))
	}
	var warnings []string
	for name := range all {
		base := strings.TrimSuffix(name, fileSuffix)
		switch {
		case !strings.HasPrefix(name, prefix), slices.Contains(known, base), slices.Contains(elsewhere, base):
		case slices.Contains(later, base), strings.HasPrefix(name, laterPrefix):
			warnings = append(warnings, name+": is not used by this version")
		default:
			if near := nearest(base, slices.Concat(known, later)); near != "" {
				warnings = append(warnings, fmt.Sprintf("%q: is not a known variable; did you mean %s?", name, near))
			}
		}
	}
	slices.Sort(warnings)
	return warnings
}

// nearest finds the known name that name is probably a slip of, or "". Kubernetes
// sets SWEEPER_PORT and its like for a service called sweeper, so that short
// names must be nearer than long ones.
func nearest(name string, known []string) string {
	name = strings.TrimPrefix(strings.ToUpper(name), prefix)
	best, least := "", 4
	for _, k := range known {
		short := strings.TrimPrefix(k, prefix)
		d := distance(name, short)
		if strings.HasPrefix(short, name+"_") {
			d = min(d, 3) // SWEEPER_DATABASE
		}
		if d <= (max(len(short), len(name))+2)/3 && d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, drop or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
