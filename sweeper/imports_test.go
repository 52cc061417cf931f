package sweeper_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/pgsweeper/sweeper"

// edges is the law of who may import whom inside the module, beginning with
// those who import nobody. A package that is not in it fails the test: a new
// one is a decision. Tests may import whatever the compiler lets them.
var edges = map[string][]string{
	"sql":               {},
	"policies":          {},
	"sweeper/proof":     {},
	"sweeper/pgserver":  {},
	"sweeper/failpoint": {},
	"sweeper/httpd":     {},
	"sweeper/anchor":    {"sweeper/proof"},
	"sweeper/policy":    {"policies"},
	"sweeper/schedule":  {"sweeper/policy"},
	"sweeper/pg":        {"sql"},
	"sweeper/catalog":   {"sql", "sweeper/pg"},
	"sweeper/wal":       {"sql", "sweeper/pg"},
	"sweeper/purgelog":  {"sql", "sweeper/failpoint", "sweeper/pg", "sweeper/proof"},
	"sweeper/plan":      {"sweeper/catalog", "sweeper/policy"},
	"sweeper/purge":     {"sql", "sweeper/catalog", "sweeper/failpoint", "sweeper/pg", "sweeper/plan", "sweeper/policy"},
	"sweeper": {
		"policies", "sql", "sweeper/anchor", "sweeper/catalog", "sweeper/failpoint", "sweeper/httpd", "sweeper/pg", "sweeper/plan", "sweeper/policy",
		"sweeper/proof", "sweeper/purge", "sweeper/purgelog", "sweeper/schedule", "sweeper/wal",
	},
	"cmd/sweeper/sample": {"sweeper/pg"},
	"cmd/sweeper":        {anyPackage},
	"bench":              {anyPackage},
	"sweeper/pgtest":     {anyPackage},
	"sweeper/killtest":   {},
	"sweeper/modeltest":  {},

	"sweeper/failovertest": {},
}

// anyPackage allows each package but sweeper/pgtest, which only tests import.
const anyPackage = "*"

// confined are packages from outside that only the named places may import.
var confined = []struct {
	path string // this package and all below it
	to   []string
	why  string
}{
	{"database/sql", nil, "pgx is the one driver"},
	{"github.com/jackc/pgx/v5/stdlib", nil, "pgx is the one driver"},
	{"log", nil, "log/slog is the logger"},
	{"github.com/minio/minio-go", []string{"sweeper/anchor", tests}, "anchor owns the bucket"},
	{"github.com/jackc/pglogrepl", []string{"sweeper/wal", tests}, "wal owns the replication protocol"},
	{"testing", []string{"sweeper/pgtest", tests}, "tests only"},
	{"github.com/ory/dockertest", []string{"sweeper/pgtest", tests}, "tests only"},
}

// restricted are identifiers that only the named places may mention. A name
// that ends in * stands for all that begin so.
var restricted = []struct {
	name string
	in   []string // folders with all below them, or files
	why  string
}{
	{"os.Exit", []string{"cmd/sweeper/main.go", "bench", "sweeper/pgtest", tests}, "deferred calls must run"},
	{"os.Args", []string{"cmd/sweeper/main.go", "bench", tests}, "arguments come from the caller"},
	{"fmt.Print*", []string{"cmd", "bench", tests}, "only commands write to stdout"},
	{"time.Now", []string{"cmd", "bench", "sweeper/pgtest", "sweeper/wal/clock.go", tests}, "take the clock from the struct or from the database"},
	{"time.Since", []string{"cmd", "bench", "sweeper/pgtest", tests}, "it reads the clock"},
	{"time.Until", []string{"cmd", "bench", "sweeper/pgtest", tests}, "it reads the clock"},
}

// quoting are fields of pgconn.PgError in which rows stand in clear. No field of
// ours has such a name, so that nobody has to ask which of the two it is.
var quoting = []string{"Detail", "InternalQuery"}

// tests stands for every _test.go file in the tables above.
const tests = "_test.go"

func TestImports(t *testing.T) {
	t.Parallel()
	root := os.DirFS("..")
	mod, err := fs.ReadFile(root, "go.mod")
	if err != nil || !strings.Contains(string(mod), "module "+module+"\n") {
		t.Fatalf("the parent folder is not the module's root: %v", err)
	}
	problems, files := checkModule(t, root)
	for _, p := range problems {
		t.Error(p)
	}
	if files < 10 {
		t.Errorf("only %d files were looked at", files)
	}
}

// checkModule holds every Go file below root against the tables, and returns
// what is wrong, sorted, and how many files it read.
func checkModule(t *testing.T, root fs.FS) (problems []string, files int) {
	t.Helper()
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case name == ".":
			return nil
		case d.IsDir() && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_'):
			return fs.SkipDir // as the go command does
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		files++
		found, err := checkFile(name, source)
		problems = append(problems, found...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(problems)
	return slices.Compact(problems), files
}

// checkFile holds one file against the tables.
func checkFile(name string, source []byte) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var problems []string
	locals := map[string]string{} // name in this file -> import path
	if _, known := edges[path.Dir(name)]; !known {
		problems = append(problems, fmt.Sprintf("package %s is not in the table of imports", path.Dir(name)))
	}
	for _, spec := range file.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		local := path.Base(target)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		locals[local] = target
		if local == "." {
			problems = append(problems, fmt.Sprintf("%s: dot import of %s hides where names come from", name, target))
		}
		if why := refuseImport(name, target); why != "" {
			problems = append(problems, fmt.Sprintf("%s: must not import %s (%s)", name, target, why))
		}
	}
	return append(problems, restrictedNames(name, file, locals)...), nil
}

// refuseImport tells why the file called name may not import target, or "".
func refuseImport(name, target string) string {
	for _, c := range confined {
		if below(target, c.path) && !within(name, c.to) && !below(target, "log/slog") {
			return c.why
		}
	}
	ours, internal := strings.CutPrefix(target, module+"/")
	switch {
	case !internal, strings.HasSuffix(name, tests):
		return ""
	case ours == "sweeper/pgtest":
		return "tests only"
	}
	allowed := edges[path.Dir(name)]
	if slices.Contains(allowed, ours) || slices.Contains(allowed, anyPackage) {
		return ""
	}
	return "against the direction of imports"
}

// restrictedNames finds identifiers that name may not mention, called or not.
func restrictedNames(name string, file *ast.File, locals map[string]string) []string {
	var problems []string
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if slices.Contains(quoting, selector.Sel.Name) && !within(name, []string{tests}) {
			problems = append(problems, fmt.Sprintf("%s: must not use .%s (what the server says there quotes rows)", name, selector.Sel.Name))
		}
		pkg, ok := selector.X.(*ast.Ident)
		if !ok || locals[pkg.Name] == "" {
			return true
		}
		used := locals[pkg.Name] + "." + selector.Sel.Name
		for _, r := range restricted {
			start, wild := strings.CutSuffix(r.name, "*")
			if (used == r.name || wild && strings.HasPrefix(used, start)) && !within(name, r.in) {
				problems = append(problems, fmt.Sprintf("%s: must not use %s (%s)", name, used, r.why))
			}
		}
		return true
	})
	return problems
}

// within tells whether a file is one of places, below one, or a test where
// tests stand among them.
func within(name string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool {
		return below(name, place) || place == tests && strings.HasSuffix(name, tests)
	})
}

func below(name, parent string) bool {
	return name == parent || strings.HasPrefix(name, parent+"/")
}

func TestImportsFinds(t *testing.T) {
	t.Parallel()
	ours := func(pkg string) string { return `import _ "` + module + "/" + pkg + `"` }
	for name, tc := range map[string]struct{ file, source, want string }{
		"unknown package":     {"sweeper/util/a.go", "", "package sweeper/util is not in the table of imports"},
		"unknown root":        {"a.go", "", "package . is not in the table of imports"},
		"backwards":           {"sweeper/policy/a.go", ours("sweeper/pg"), "against the direction"},
		"siblings":            {"sweeper/purge/a.go", ours("sweeper/wal"), "against the direction"},
		"pure":                {"sweeper/proof/a.go", ours("sweeper/pg"), "against the direction"},
		"pgtest":              {"cmd/sweeper/a.go", ours("sweeper/pgtest"), "tests only"},
		"pgserver in sweeper": {"sweeper/a.go", ours("sweeper/pgserver"), "against the direction"},
		"database/sql":        {"sweeper/pg/a_test.go", `import _ "database/sql/driver"`, "pgx is the one driver"},
		"log":                 {"sweeper/pg/a.go", `import _ "log"`, "log/slog"},
		"pglogrepl":           {"sweeper/a.go", `import _ "github.com/jackc/pglogrepl"`, "wal owns"},
		"testing":             {"sweeper/a.go", `import _ "testing/fstest"`, "tests only"},
		"dockertest":          {"sweeper/pgserver/a.go", `import _ "github.com/ory/dockertest/v3"`, "tests only"},
		"os.Exit":             {"cmd/sweeper/root.go", `import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		"os.Exit renamed":     {"cmd/sweeper/root.go", `import x "os"; var f = x.Exit`, "os.Exit"},
		"os.Args":             {"cmd/sweeper/root.go", `import "os"; var a = os.Args`, "os.Args"},
		"fmt.Println":         {"sweeper/a.go", `import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		"time.Now":            {"sweeper/wal/a.go", `import "time"; var now = time.Now`, "time.Now"},
		"what quotes rows":    {"sweeper/pg/a.go", `type e struct{ Detail string }; func f(x *e) string { return x.Detail }`, "quotes rows"},
		"dot import":          {"sweeper/a.go", `import . "time"`, "dot import"},
		"below cmd":           {"cmd/sweeper/sample/a.go", ours("sweeper"), "against the direction"},
	} {
		root := fstest.MapFS{tc.file: {Data: []byte("package p; " + tc.source)}}
		problems, _ := checkModule(t, root)
		if len(problems) != 1 || !strings.Contains(problems[0], tc.want) {
			t.Errorf("%s: got %q, want one with %q", name, problems, tc.want)
		}
	}
}

func TestImportsAllows(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"cmd/sweeper/main.go":        {Data: []byte(`package main; import ("os"; "fmt"; "time"); func main() { fmt.Println(time.Now()); os.Exit(len(os.Args)) }`)},
		"sweeper/wal/a.go":           {Data: []byte(`package wal; import (_ "github.com/jackc/pglogrepl"; _ "log/slog"; _ "` + module + `/sweeper/pg")`)},
		"sweeper/a_test.go":          {Data: []byte(`package sweeper; import ("os"; "testing"; "time"; _ "` + module + `/sweeper/pgtest"); func F(*testing.T) { os.Exit(time.Now().Day()) }`)},
		"sweeper/a.go":               {Data: []byte(`package sweeper; import "fmt"; func f(time struct{ Now int }) { fmt.Sprint(time.Now) }`)},
		"sweeper/testdata/x/a.go":    {Data: []byte(`not Go at all`)},
		".hidden/a.go":               {Data: []byte(`not Go at all`)},
		"sweeper/pgtest/dockered.go": {Data: []byte(`package pgtest; import (_ "github.com/ory/dockertest/v3"; _ "` + module + `/sweeper/pgserver")`)},
	}
	problems, files := checkModule(t, root)
	if diff := cmp.Diff([]string(nil), problems); diff != "" || files != 5 {
		t.Errorf("%d files:\n%s", files, diff)
	}
}
