package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type header struct {
	Category string `json:"category"`
}

// row has a field of each kind that verbs print.
type row struct {
	header
	Due      int64          `json:"due"`
	Left     *int           `json:"left"`
	Share    float64        `json:"share"`
	At       time.Time      `json:"at"`
	Until    *time.Time     `json:"until"`
	Note     *string        `json:"note,omitempty"`
	Columns  []string       `json:"columns"`
	Done     bool           `json:"done"`
	Counts   map[string]int `json:"counts"`
	PlanHash string         `json:"plan_hash" table:"-"`
	Hidden   string         `json:"-"`
	private  string
}

// sampleRows has one row with everything set, and one with nothing.
func sampleRows() []row {
	at := time.Date(2026, 3, 17, 5, 0, 0, 250_000_000, time.FixedZone("", 3600))
	left, note := -3, "=cmd\x1b[2J\t<b>"
	return []row{
		{header{"liveness"}, -1, &left, 0.5, at, &at, &note, []string{"a", "b"}, true, map[string]int{"x": 1}, "f00", "h", "p"},
		{},
	}
}

func TestPrintRowsAsTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := printRows(&out, formatTable, sampleRows()); err != nil {
		t.Fatal(err)
	}
	want := `
CATEGORY  DUE  LEFT  SHARE  AT                       UNTIL                    NOTE                     COLUMNS  DONE   COUNTS
liveness  -1   -3    0.5    2026-03-17T04:00:00.25Z  2026-03-17T04:00:00.25Z  =cmd\u001b[2J\t<b>       a, b     true   {"x":1}
          0    -     0      0001-01-01T00:00:00Z     -                        -                        -        false  -
`
	if diff := cmp.Diff(squeeze(want), squeeze("\n"+out.String())); diff != "" {
		t.Error(diff)
	}
	lines := strings.Split(out.String(), "\n")
	if strings.Index(lines[0], "SHARE") != strings.Index(lines[1], "0.5") {
		t.Error("the columns are not aligned:\n" + out.String())
	}
}

// squeeze makes runs of spaces one.
func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

func TestPrintRowsAsJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := printRows(&out, formatJSON, sampleRows()[:1]); err != nil {
		t.Fatal(err)
	}
	want := `[
  {
    "category": "liveness",
    "due": -1,
    "left": -3,
    "share": 0.5,
    "at": "2026-03-17T05:00:00.25+01:00",
    "until": "2026-03-17T05:00:00.25+01:00",
    "note": "=cmd\u001b[2J\t<b>",
    "columns": [
      "a",
      "b"
    ],
    "done": true,
    "counts": {
      "x": 1
    },
    "plan_hash": "f00"
  }
]
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPrintRowsAsCSV(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := printRows(&out, formatCSV, sampleRows()); err != nil {
		t.Fatal(err)
	}
	want := "category,due,left,share,at,until,note,columns,done,counts,plan_hash\n" +
		"liveness,-1,-3,0.5,2026-03-17T04:00:00.25Z,2026-03-17T04:00:00.25Z,'=cmd\x1b[2J\t<b>,\"a, b\",true,\"{\"\"x\"\":1}\",f00\n" +
		",0,,0,0001-01-01T00:00:00Z,,,,false,,\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPrintNoRows(t *testing.T) {
	t.Parallel()
	for f, want := range map[format]string{
		formatTable: "CATEGORY\n", formatJSON: "[]\n", formatCSV: "category\n",
	} {
		var out bytes.Buffer
		if err := printRows[struct {
			Category string `json:"category"`
		}](&out, f, nil); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", f, out.String(), err)
		}
	}
}

func TestDefuse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a=b": "a=b", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "'x": "'x",
	} {
		if got := defuse(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
