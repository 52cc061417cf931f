package sweeper_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/pg"
)

const escape = "\x1b"

// handlers are the three shapes that NewLogger has.
var handlers = map[string]struct {
	format           string
	terminal, colour bool
}{
	"json":           {sweeper.FormatAuto, false, false},
	"text":           {sweeper.FormatText, false, false},
	"coloured text":  {sweeper.FormatAuto, true, true},
	"terminal plain": {sweeper.FormatAuto, true, false},
}

// logged is one line, as the handler called name writes it.
func logged(name string, args ...any) string {
	var out bytes.Buffer
	h := handlers[name]
	sweeper.NewLogger(&out, slog.LevelInfo, h.format, h.terminal, !h.colour).Info("batch done", args...)
	return out.String()
}

func TestLoggerChoosesItsForm(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ json, colour bool }{
		"json": {json: true}, "text": {}, "coloured text": {colour: true}, "terminal plain": {},
	} {
		line := logged(name, sweeper.KeyRows, 7)
		if got := json.Valid([]byte(line)); got != want.json {
			t.Errorf("%s: JSON is %v: %s", name, got, line)
		}
		if got := strings.Contains(line, escape); got != want.colour {
			t.Errorf("%s: colours are %v: %q", name, got, line)
		}
	}
	var out bytes.Buffer
	log := sweeper.NewLogger(&out, slog.LevelWarn, sweeper.FormatJSON, true, false)
	log.Info("quiet")
	log.Warn("retry", sweeper.KeyElapsed, 1500*time.Millisecond)
	if !json.Valid(out.Bytes()) || strings.Contains(out.String(), "quiet") || !strings.Contains(out.String(), `"elapsed":"1.5s"`) {
		t.Errorf("level warn as JSON: %s", out.String())
	}
}

func TestLoggerEscapesControlCharacters(t *testing.T) {
	t.Parallel()
	nasty := map[string]any{
		"escape":        "a" + escape + "[2Jb",
		"spelt escape":  `a \x1b[2J b=`,
		"spelt twice":   `a \\x1b[2J \u001b b=`,
		"c1":            "a \u009b2Jb",
		"invalid utf-8": "a \x9b2Jb",
		"newline":       "a\nlevel=ERROR b\r\t\u2028",
		"direction":     "a \u202e b",
		"delete":        "a \x7f b",
		"error":         errors.New("a " + escape + "[2J\nb"),
		"stringer":      url{},
		"any":           []any{"a" + escape, errors.New(escape)},
		"text":          json.RawMessage(`"` + escape + `"`),
	}
	for name := range handlers {
		for kind, value := range nasty {
			line := logged(name, "key", value)
			line = strings.TrimSuffix(line, "\n")
			for _, colour := range []string{"[2m", "[0m", "[92m"} { // tint's own
				line = strings.ReplaceAll(line, escape+colour, "")
			}
			if i := strings.IndexFunc(line, forbidden); i >= 0 {
				t.Errorf("%s, %s: %q", name, kind, line[i:])
			}
		}
		line := logged(name, "ke"+escape+"[2Jy", 1)
		if strings.Contains(line, escape+"[2J") {
			t.Errorf("%s: a key steers the terminal: %q", name, line)
		}
	}
}

func forbidden(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x202e || r == 0xfffd
}

// url is a value with a text form that steers a terminal.
type url struct{}

func (url) String() string               { return "a " + escape + "[2J" }
func (url) MarshalText() ([]byte, error) { return []byte("a " + escape + "[2J"), nil }

func TestLoggerHidesRows(t *testing.T) {
	t.Parallel()
	raw := &pgconn.PgError{
		Severity: "ERROR", Code: "23505", Message: "duplicate key hunter2",
		Detail: "Key (email)=(hunter2) already exists.", Where: "hunter2", InternalQuery: "hunter2",
	}
	_, parse := pgconn.ParseConfig("postgres://u:hunter2@h:hunter2/d")
	for name := range handlers {
		for kind, tc := range map[string]struct {
			err  error
			want string
		}{
			"raw":       {raw, "SQLSTATE 23505"},
			"in text":   {fmt.Errorf("delete hunter2: %w", raw), "SQLSTATE 23505"},
			"joined":    {errors.Join(errors.New("first"), fmt.Errorf("x: %w", raw)), "SQLSTATE 23505"},
			"wrapped":   {pg.Wrap("delete a batch", raw), "delete a batch: refused by the server (SQLSTATE 23505)"},
			"wrapped 2": {fmt.Errorf("step 3: %w", pg.Wrap("delete a batch", raw)), "step 3: delete a batch: refused by the server (SQLSTATE 23505)"},
			"url":       {parse, "not a valid connection string"},
			"plain":     {errors.New("no such table"), "no such table"},
			"typed nil": {(*pg.Error)(nil), "nil"},
		} {
			line := logged(name, sweeper.KeyErr, tc.err)
			if strings.Contains(line, "hunter2") || !strings.Contains(line, tc.want) {
				t.Errorf("%s, %s: %s", name, kind, line)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Straße 1 – 日本 🙂":   "Straße 1 – 日本 🙂",
		"":                  "",
		"a\n\r\tb":          `a\n\r\tb`,
		"\x1b[2J\u009b\xff": `\u001b[2J\u009b\xff`,
		"\ufffd":            `\ufffd`,
		"a\u202eb":          `a\u202eb`,
		`back\slash`:        `back\slash`,
	} {
		if got := sweeper.Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}
