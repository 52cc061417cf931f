package modeltest_test

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// change is one line of a transaction.
type change struct {
	leaf, op  string
	old, new  map[string]string // old: of a DELETE, and of an UPDATE that moves the key
	truncated []string
}

// run is a run of a category as sweeper.runs has it.
type run struct {
	category string
	policy   string
	asOf     time.Time
	state    string
}

// truth is what the witness saw, replayed in the order of the commits, and what
// is wrong with it.
type truth struct {
	state       *state
	sets        map[int]*policySet // by version
	versions    map[string]int     // by SHA-256
	runs        map[string]*run
	holds       map[string]hold
	windows     map[string]map[string]period
	events      []event // of tables that starts are in
	subjectType string
	secret      []byte
	committer   *proof.Committer
	entries     map[string]int // as logged writes them
	commitments map[[32]byte]int
	problems    []string
	seen        map[string]int // what happened, for the table of coverage
	refreshed   map[*record]bool
}

// event is a change of a row that starts are in.
type event struct {
	at     time.Time
	table  string
	before *record // nil: it was inserted
	after  *record // nil: it was deleted
}

func newTruth(w *world, secret []byte) *truth {
	return &truth{
		state: newState(w.tables), sets: w.sets, subjectType: w.subjectType, secret: secret, committer: proof.NewCommitter(secret),
		versions: map[string]int{}, runs: map[string]*run{}, holds: map[string]hold{}, windows: map[string]map[string]period{},
		entries: map[string]int{}, commitments: map[[32]byte]int{}, seen: map[string]int{}, refreshed: map[*record]bool{},
	}
}

var (
	lineForm    = regexp.MustCompile(`(?s)^table (.+?): (INSERT|UPDATE|DELETE|TRUNCATE): (.*)$`)
	commitForm  = regexp.MustCompile(`^COMMIT (\d+) \(at (.+)\)$`)
	particular  = regexp.MustCompile(`[^ ]*[0-9_."][^ ]*`) // names and numbers
	versionForm = regexp.MustCompile(`# version (\d+)`)
)

// replay takes in all lines of the witness.
func (w *truth) replay(lines []string) {
	var xid string
	var tx []change
	for _, line := range lines {
		if strings.HasPrefix(line, "BEGIN ") {
			xid, tx = line[len("BEGIN "):], nil
		} else if end := commitForm.FindStringSubmatch(line); end != nil {
			w.transaction(xid, instant(end[2]), tx)
		} else if found := lineForm.FindStringSubmatch(line); found != nil {
			tx = append(tx, read(found[1], found[2], found[3]))
		}
	}
}

func read(leaf, op, text string) change {
	c := change{leaf: strings.TrimPrefix(leaf, "app."), op: op}
	if op == "TRUNCATE" {
		for _, name := range strings.Split(leaf, ", ") {
			c.truncated = append(c.truncated, strings.TrimPrefix(name, "app."))
		}
		return c
	}
	text, moved := strings.CutPrefix(text, "old-key: ")
	first, rest := fields(text)
	switch {
	case moved:
		c.old = first
		c.new, _ = fields(strings.TrimPrefix(rest, "new-tuple: "))
	case op == "DELETE":
		c.old = first
	default:
		c.new = first
	}
	return c
}

// fields reads name[type]:value pairs up to the end, or to what is none.
func fields(text string) (map[string]string, string) {
	all := map[string]string{}
	for {
		name, rest, ok := strings.Cut(text, "[")
		if !ok || strings.ContainsAny(name, " :'") {
			return all, text
		}
		_, rest, ok = strings.Cut(rest, "]:")
		if !ok {
			return all, text
		}
		if strings.HasPrefix(rest, "'") {
			end := 1
			for {
				i := strings.IndexByte(rest[end:], '\'')
				end += i + 1
				if end == len(rest) || rest[end] != '\'' {
					break
				}
				end++
			}
			all[name] = strings.ReplaceAll(rest[1:end-1], "''", "'")
			text = strings.TrimPrefix(rest[end:], " ")
			continue
		}
		value, more, _ := strings.Cut(rest, " ")
		if value != "null" {
			all[name] = value
		}
		text = more
	}
}

func (w *truth) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// transaction replays one transaction: what it says of itself first, then what
// it did.
func (w *truth) transaction(xid string, at time.Time, tx []change) {
	b := batch{truth: w, xid: xid, at: at, reports: map[string]string{}, counts: map[string]int{}}
	said := false
	for _, c := range tx {
		switch {
		case c.leaf == "sweeper.batches":
			b.fact(c.new)
		case c.leaf == "said":
			said = true
		case strings.HasPrefix(c.leaf, "sweeper."):
			w.own(c)
		case c.op == "TRUNCATE" || w.state.rootOf(c.leaf) != nil:
			b.changes = append(b.changes, c)
		}
	}
	if len(b.changes) == 0 && b.taken == nil {
		return
	}
	if b.stamp == nil && !said {
		w.problem("transaction %s has neither a stamp nor is it the application's: %s of %s", xid, b.changes[0].op, b.changes[0].leaf)
	}
	if b.stamp != nil {
		b.judge()
	}
	b.apply()
	if b.stamp != nil {
		b.after()
	}
	b.log()
}

// own takes in what the product's own tables say: they are what its operators
// asked for, and in which order it was committed.
func (w *truth) own(c change) {
	v := c.new
	switch c.leaf {
	case "sweeper.policy_versions":
		n := 0
		_, _ = fmt.Sscan(versionForm.FindStringSubmatch(v["files"])[1], &n)
		w.versions[v["policy_sha256"]] = n
	case "sweeper.runs":
		if c.op == "INSERT" {
			w.runs[v["run_id"]] = &run{category: v["category"], policy: v["policy_sha256"], asOf: instant(v["as_of"])}
			if instant(v["as_of"]).After(instant(v["started_at"])) {
				w.problem("run %s began at %s as of %s, which was still to come", v["run_id"], v["started_at"], v["as_of"])
			}
		}
		w.runs[v["run_id"]].state = v["state"]
		if c.op == "UPDATE" {
			w.seen["runs: "+v["state"]]++
			if v["state"] == "failed" {
				w.seen["runs: failed: "+particular.ReplaceAllString(v["stop_reason"], "…")]++
			}
		}
	case "sweeper.legal_holds":
		h := hold{subject: canonical(v["subject"], w.subjectType), tenant: v["tenant"], category: v["category"], relation: v["relation"]}
		if e, there := v["expires_at"]; there {
			h.expiring, h.expires = true, instant(e)
		}
		_, h.released = v["released_at"]
		w.holds[v["hold_id"]] = h
		switch {
		case h.released:
			w.seen["holds released"]++
		case w.running():
			w.seen["holds placed while a run goes on"]++
		default:
			w.seen["holds placed between runs"]++
		}
	case "sweeper.tenant_retention":
		if c.op == "DELETE" {
			delete(w.windows[c.old["category"]], c.old["tenant"])
			return
		}
		if w.windows[v["category"]] == nil {
			w.windows[v["category"]] = map[string]period{}
		}
		w.windows[v["category"]][v["tenant"]] = parseInterval(v["retention"])
		w.seen["tenants' windows set"]++
	}
}

func (w *truth) running() bool {
	for _, r := range w.runs {
		if r.state == "running" {
			return true
		}
	}
	return false
}
