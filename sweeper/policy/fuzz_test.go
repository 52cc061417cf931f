package policy

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgsweeper/sweeper/policies"
)

// FuzzParse holds for any bytes: no panic, and either a set or errors that each
// have a file and a place inside it and are harmless to a terminal.
func FuzzParse(f *testing.F) {
	for _, inputs := range []map[string]bad{badYAML, badNames, badMeaning} {
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
	f.Fuzz(func(t *testing.T, source []byte) {
		set, err := Parse([]File{{Path: "f.yaml", Source: source}}, Defaults{})
		if err == nil {
			checkSet(t, set)
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
		if c.Schema == "" || c.Relation == "" || c.Timezone == "" || c.Redact == nil && c.Delete == nil && c.Start.Column != "" && c.Ats["delete"].Line == 0 {
			t.Errorf("incomplete: %+v", c)
		}
		if (c.Redact != nil || c.Delete != nil) && c.Start.Column == "" {
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
				if r.Strategy == "" || r.Strategy == SetValue && r.Value == nil || r.Strategy == HMAC && strings.Count(r.Format, "%s") != 1 {
					t.Errorf("incomplete redaction: %+v", r)
				}
			}
		}
		if (c.Schedule.Cron == "") == (c.Schedule.Every == 0) {
			t.Errorf("schedule %+v", c.Schedule)
		}
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
