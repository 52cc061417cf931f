package policy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgsweeper/sweeper/policies"
)

// FuzzParse holds for any bytes: no panic, and either a set or errors that each
// have a file and a place inside it and are harmless to a terminal.
func FuzzParse(f *testing.F) {
	for _, inputs := range []map[string]bad{badYAML, badNames, badMeaning, badLanguage, badChildren, badTogether} {
		for _, in := range inputs {
			if len(in.source) < 4096 {
				f.Add([]byte(in.source))
			}
		}
	}
	for _, name := range []string{"kyc.yaml", "minimal.yaml"} {
		source, err := policies.FS.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Add([]byte(everything))
	f.Add(whole(f))
	f.Fuzz(func(t *testing.T, source []byte) {
		set, err := Parse([]File{{Path: "f.yaml", Source: source}}, Defaults{AllowRawSQL: true})
		if err == nil {
			checkSet(t, set)
			set.Warnings()
			if back := Shrunk(set, set); back != nil {
				t.Errorf("a set takes back what it says itself: %v", back)
			}
			return
		}
		lines := 1 + strings.Count(strings.ReplaceAll(string(source), "\r\n", "\n"), "\n")
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() { //nolint:errorlint // Parse promises a join
			var pe *Error
			if !errors.As(e, &pe) {
				t.Fatalf("%T is no *Error", e)
			}
			if pe.File != "f.yaml" || pe.Line < 1 || pe.Line > lines || pe.Column < 1 || pe.Column > utf8.RuneCountInString(pe.Source)+1 {
				t.Errorf("outside the file of %d lines: %+v", lines, pe)
			}
			if pe.Reason == "" || strings.Contains(pe.Reason, "\n") {
				t.Errorf("reason %q is no sentence", pe.Reason)
			}
			for _, r := range e.Error() {
				if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
					t.Errorf("control character in %q", e.Error())
				}
			}
		}
		if len(set.Categories) > 0 {
			t.Error("errors and a set")
		}
	})
}

// checkSet holds what later stages rely on.
func checkSet(t *testing.T, set Set) {
	t.Helper()
	if len(set.Categories) == 0 {
		t.Error("neither errors nor categories")
	}
	for _, c := range set.Categories {
		if c.Schema == "" || c.Relation == "" || c.Timezone == "" || c.Restrict == nil && c.Redact == nil && c.Delete == nil && !c.Unlimited {
			t.Errorf("incomplete: %+v", c)
		}
		if (c.Restrict != nil || c.Redact != nil || c.Delete != nil) && c.Start.Column == "" {
			t.Errorf("no start: %+v", c)
		}
		for _, w := range c.Where {
			if w.Column == "" || w.Op == "" {
				t.Errorf("empty condition: %+v", c)
			}
			for _, v := range w.Values {
				switch v.(type) {
				case string, int64, float64, bool:
				default:
					t.Errorf("value of type %T", v)
				}
			}
		}
		if c.Redact != nil {
			for _, r := range c.Redact.Columns {
				checkRedaction(t, r)
			}
		}
		checkChildren(t, c.Children)
		if f := c.Start.From; f != nil && (f.Schema == "" || f.Relation == "" || len(f.Match) == 0 || f.Pick != "max" && f.Pick != "min") {
			t.Errorf("start elsewhere %+v", f)
		}
		if l := c.Limits; l.MaxRowsPerRun < 0 || l.MaxShare < 0 || l.MaxShare > 1 || l.RowsPerSecond < 0 || l.MaxDeadShare < 0 || l.MaxDeadShare > 1 {
			t.Errorf("limits %+v", l)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
		if (c.Schedule.Cron == "") == (c.Schedule.Every == 0) {
			t.Errorf("schedule %+v", c.Schedule)
		}
	}
}

func checkRedaction(t *testing.T, r Redaction) {
	t.Helper()
	whole := false
	switch r.Strategy {
	case Null, Zero, Keep:
		whole = true
	case SetValue:
		whole = r.Value != nil
	case HMAC:
		whole = strings.Count(r.Format, "%s") == 1
	case Truncate:
		whole = r.Unit != ""
	case Mask:
		whole = r.KeepLast >= 0
	case JSON:
		whole = len(r.Paths) > 0
		for _, p := range r.Paths {
			whole = whole && len(p.Steps) > 0 && !p.Steps[0].Each && (p.Action == "remove" || p.Action == "null")
		}
	}
	if !whole || r.Column == "" {
		t.Errorf("incomplete redaction: %+v", r)
	}
}

func checkChildren(t *testing.T, children []Child) {
	t.Helper()
	for _, c := range children {
		if c.Schema == "" || c.Relation == "" || len(c.Match) == 0 || c.On == "" || c.Action == "" || (c.Action == "redact") != (len(c.Columns) > 0) {
			t.Errorf("incomplete child: %+v", c)
		}
		for _, r := range c.Columns {
			checkRedaction(t, r)
		}
		checkChildren(t, c.Children)
	}
}

// FuzzParsePeriod holds that what is accepted survives a round trip.
func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{"P5Y", "1 year 6 months", "P0D", "5", "-5 years", "P1Y2M3W4D", "PT1H"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePeriod(text)
		if err != nil {
			return
		}
		if again, err := ParsePeriod(p.String()); err != nil || again != p {
			t.Errorf("%q is %s, which is %s, %v", text, p, again, err)
		}
		if p.Years < 0 || p.Months < 0 || p.Weeks < 0 || p.Days < 0 || p.days() > maxYears*daysPerYear {
			t.Errorf("%q is %+v", text, p)
		}
	})
}
