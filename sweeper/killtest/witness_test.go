package killtest_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// row is a row of the application as the witness saw it last.
type row struct{ leaf, email string }

// truth is what an independent reader of the write-ahead log (PostgreSQL's
// test_decoding) saw: the contents of the application's tables as they must be
// now, and the entries and commitments that the purge log must have.
type truth struct {
	rows        map[string]map[int64]row // by table
	entries     map[string]int           // as logged writes them
	commitments map[[32]byte]int
	left        map[string]map[int64]bool // by table: rows that the application itself deleted or moved
	purged      int64                     // rows that the sweeper deleted, redacted or dropped
	drops       int64
	problems    []string
}

// change is one line of a transaction.
type change struct {
	leaf, op string
	fields   map[string]string
}

var (
	lineForm  = regexp.MustCompile(`^table (\S+): (INSERT|UPDATE|DELETE): (?:old-key: (.*) new-tuple: )?(.*)$`)
	fieldForm = regexp.MustCompile(`(\w+)\[[^\]]+\]:('(?:[^']|'')*'|\S+)`)
)

func fields(text string) map[string]string {
	all := map[string]string{}
	for _, f := range fieldForm.FindAllStringSubmatch(text, -1) {
		if f[2] != "null" {
			all[f[1]] = strings.ReplaceAll(strings.Trim(f[2], "'"), "''", "'")
		}
	}
	return all
}

// witness reads all that was committed since the site was made.
func (s *site) witness(t *testing.T) *truth {
	t.Helper()
	s.exec(t, `begin; set local synchronous_commit = on; select pg_current_xact_id(), pg_create_restore_point('witness'); commit`)
	rows, _ := s.admin.Query(t.Context(), `select data from pg_logical_slot_peek_changes($1, null, null, 'skip-empty-xacts', '1')`, s.slot+"_truth")
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("read the witness's slot: %v", err)
	}
	w := &truth{rows: map[string]map[int64]row{}, left: map[string]map[int64]bool{}, entries: map[string]int{}, commitments: map[[32]byte]int{}}
	for _, table := range tables {
		w.rows[table.name], w.left[table.name] = map[int64]row{}, map[int64]bool{}
	}
	secret := make([]byte, len(key)/2)
	for i := range secret {
		secret[i] = byte(i)
	}
	committer := proof.NewCommitter(secret)
	var xid string
	var tx []change
	for _, line := range lines {
		switch found := lineForm.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "BEGIN "):
			xid, tx = line[len("BEGIN "):], nil
		case strings.HasPrefix(line, "COMMIT "):
			w.transaction(xid, tx, committer)
		case found != nil && (strings.HasPrefix(found[1], "app.") || found[1] == "sweeper.batches"):
			tx = append(tx, change{leaf: found[1], op: found[2], fields: fields(found[4])})
		}
	}
	return w
}

// transaction replays one transaction.
func (w *truth) transaction(xid string, tx []change, committer *proof.Committer) {
	stamp, who := "", "out_of_policy"
	counts := map[string]int{} // by kind and leaf
	for _, c := range tx {
		if c.leaf == "sweeper.batches" {
			switch c.fields["fact"] {
			case "stamp":
				stamp, who = c.fields["kind"], c.fields["reason"]
			case "hold":
				w.entries[logged(xid, "hold", "", 0, "")]++
			case "report":
				if c.fields["kind"] == "drop_partition" {
					w.drop(xid, who, c.fields["partition"], c.fields["row_count"])
				}
			}
			continue
		}
		root, id := rootOf(c.leaf), number(c.fields["id"])
		_, there := w.rows[root][id]
		switch c.op {
		case "INSERT":
			w.rows[root][id] = row{c.leaf, c.fields["email"]}
			delete(w.left[root], id)
		case "UPDATE":
			w.rows[root][id] = row{c.leaf, c.fields["email"]}
			if stamp == "" {
				continue
			}
			counts["redact "+c.leaf]++
		case "DELETE":
			delete(w.rows[root], id)
			w.left[root][id] = stamp == ""
			counts["delete "+c.leaf]++
		}
		if c.op == "INSERT" {
			continue
		}
		if !there {
			w.problem("%s of row %d of %s in transaction %s, which had gone before", c.op, id, root, xid)
		}
		w.commitments[committer.Commit(identity(root, c.fields))]++
		if stamp != "" {
			w.purged++
		}
	}
	for which, n := range counts {
		kind, leaf, _ := strings.Cut(which, " ")
		if root := rootOf(leaf); stamp != "" && (root == "app.people" || root == "app.marks") { // evidence: row
			w.entries[logged(xid, kind, leaf, 1, who)] += n
			continue
		}
		w.entries[logged(xid, kind, leaf, int64(n), who)]++
	}
}

// drop has a whole partition gone: the write-ahead log shows no rows of it, so
// those that were in it are counted.
func (w *truth) drop(xid, who, leaf, reported string) {
	root := rootOf(leaf)
	var n int64
	for id, r := range w.rows[root] {
		if r.leaf == leaf {
			delete(w.rows[root], id)
			n++
		}
	}
	if n != number(reported) {
		w.problem("partition %s had %d rows when it was dropped, reported are %s", leaf, n, reported)
	}
	w.entries[logged(xid, "drop_partition", leaf, n, who)]++
	w.purged += n
	w.drops++
}

func (w *truth) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// logged writes an entry of the purge log in one line.
func logged(xid, kind, leaf string, rows int64, reason string) string {
	return fmt.Sprintf("%s %s %s %d %s", xid, kind, leaf, rows, reason)
}

func rootOf(leaf string) string {
	for _, root := range []string{"app.shots", "app.marks"} {
		if strings.HasPrefix(leaf, root) {
			return root
		}
	}
	return leaf
}

// identity is what the log commits to: relation and key.
func identity(root string, f map[string]string) []byte {
	id := proof.AppendField(nil, []byte(root))
	columns := []string{"id"}
	switch root {
	case "app.shots":
		columns = append(columns, "at")
	case "app.marks":
		columns = append(columns, "region")
	}
	for _, c := range columns {
		id = proof.AppendField(proof.AppendField(id, []byte(c)), []byte(f[c]))
	}
	return id
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("not a number in the witness's output: " + s)
	}
	return n
}
