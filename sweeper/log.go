package sweeper

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lmittmann/tint"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// The keys of log lines. Values are names, counts, times and positions, never
// what a row holds and never a subject.
const (
	KeyPolicy      = "policy"
	KeyCategory    = "category"
	KeyTable       = "table"
	KeyPartition   = "partition"
	KeyDisposition = "disposition"
	KeyCutoff      = "cutoff"
	KeyRun         = "run_id"
	KeyRows        = "rows"
	KeyBatch       = "batch"
	KeyLSN         = "lsn"
	KeySlot        = "slot"
	KeyEntry       = "entry"
	KeyElapsed     = "elapsed"
	KeyErrors      = "consecutive_errors"
	KeyWarning     = "warning"
	KeyErr         = "err"
)

// The values of Config.LogFormat.
const (
	FormatAuto = "auto"
	FormatText = "text"
	FormatJSON = "json"
)

// NewLogger writes to w what is at or above level: as text if format says so,
// or says auto and w is a terminal; else as one JSON object a line. Text has
// colours on a terminal, unless noColor. In both forms an error of the server
// shows no value of a row, and control characters are escaped.
func NewLogger(w io.Writer, level slog.Level, format string, isTerminal, noColor bool) *slog.Logger {
	if format == FormatJSON || format != FormatText && !isTerminal {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: plainAttr}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level:       level,
		NoColor:     noColor || !isTerminal,
		ReplaceAttr: tintAttr,
	}))
}

// plainAttr makes an attribute safe to print, and the same for every handler:
// whatever is not a number, a boolean or a time becomes clean text.
func plainAttr(groups []string, a slog.Attr) slog.Attr {
	a.Key = Printable(a.Key)
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Printable(a.Value.String()))
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	case slog.KindTime:
		if len(groups) > 0 || a.Key != slog.TimeKey {
			a.Value = slog.TimeValue(a.Value.Time().UTC())
		}
	case slog.KindAny:
		a.Value = plainAny(a.Value)
	}
	return a
}

func plainAny(v slog.Value) slog.Value {
	switch x := v.Any().(type) {
	case nil, slog.Level, *slog.Source:
		return v
	case error:
		return slog.StringValue(Printable(safeText(x)))
	default:
		return slog.StringValue(Printable(fmt.Sprint(x)))
	}
}

// tintAttr is plainAttr for tint, which turns the four characters \x1b inside
// a value that it quotes into the escape character.
func tintAttr(groups []string, a slog.Attr) slog.Attr {
	a = plainAttr(groups, a)
	if a.Value.Kind() == slog.KindString {
		a.Value = slog.StringValue(strings.ReplaceAll(a.Value.String(), `\x1b`, `\u005cx1b`))
	}
	return a
}

// safeText is the text of err, unless it holds an error of the driver that no
// pg.Wrap covers: that one can quote rows or a connection string.
func safeText(err error) string {
	if raw := bare(err); raw != "" {
		return raw
	}
	return fmt.Sprint(err) // survives a typed nil
}

// bare describes the first uncovered error of the driver inside err, or is "".
func bare(err error) string {
	switch e := err.(type) { //nolint:errorlint // the walk itself: each layer is looked at alone
	case nil, *pg.Error:
		return ""
	case *pgconn.PgError:
		return "SQLSTATE " + e.Code
	case *pgconn.ParseConfigError:
		return "not a valid connection string"
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if raw := bare(inner); raw != "" {
				return raw
			}
		}
		return ""
	}
	return bare(errors.Unwrap(err))
}

// Printable escapes what could steer a terminal or break a line: control
// characters, bytes that are not UTF-8, and marks that reorder text.
func Printable(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unprintable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// unprintable holds for control characters, line and paragraph separators and
// the marks that change the direction of text. RuneError stands for invalid
// bytes too.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029' ||
		unicode.Is(unicode.Bidi_Control, r)
}
