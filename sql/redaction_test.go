package sql_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// pads gives the two halves of an HMAC key as the SQL functions take them.
func pads(key []byte) (inner, outer []byte) {
	inner, outer = make([]byte, sha256.BlockSize), make([]byte, sha256.BlockSize)
	copy(inner, key)
	copy(outer, key)
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	return inner, outer
}

// token is what redaction_token should make of value.
func token(key []byte, value string) string {
	sum := func(message string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(message))
		return hex.EncodeToString(mac.Sum(nil))
	}
	body := sum("value" + value)[:24]
	return body + sum("check" + body)[:8]
}

func TestRedactionTokens(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "sweeper_daemon")
	key, other := []byte("0123456789abcdef0123456789abcdef"), []byte("another key of thirty-two bytes!")
	inner, outer := pads(key)
	otherInner, otherOuter := pads(other)
	seen := map[string]string{}
	for _, value := range []string{"", "a", "A", "a@example.com", "Zoë Łukasiewicz 😀", "line\nbreak", "value", "\x01"} {
		got := pgtest.QueryOne[string](t, conn, `select sweeper.redaction_token($1, $2, $3)`, value, inner, outer)
		if want := token(key, value); got != want {
			t.Errorf("token of %q: got %s, want %s", value, got, want)
		}
		if twin, ok := seen[got]; ok && twin != value {
			t.Errorf("%q and %q have the same token", value, twin)
		}
		seen[got] = value
		if !pgtest.QueryOne[bool](t, conn, `select sweeper.is_redaction_token($1, $2, $3)`, got, inner, outer) {
			t.Errorf("the token of %q is not recognised", value)
		}
		if pgtest.QueryOne[bool](t, conn, `select sweeper.is_redaction_token($1, $2, $3)`, got, otherInner, otherOuter) {
			t.Errorf("the token of %q is taken for one of another key", value)
		}
	}
}

func TestIsRedactionTokenRefusesForeignText(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "sweeper_daemon")
	key := []byte("0123456789abcdef0123456789abcdef")
	inner, outer := pads(key)
	real := token(key, "a")
	for _, text := range []string{
		"", "d41d8cd98f00b204e9800998ecf8427e", "00000000000000000000000000000000", real[:31], real + "0", " " + real[1:],
		real[:31] + "x",
	} {
		if pgtest.QueryOne[bool](t, conn, `select sweeper.is_redaction_token($1, $2, $3)`, text, inner, outer) {
			t.Errorf("%q is taken for a token", text)
		}
	}
}

func TestRedactionOfNull(t *testing.T) {
	t.Parallel()
	conn := installed(t).Conn(t, "sweeper_daemon")
	inner, outer := pads([]byte("k"))
	for _, sql := range []string{
		`select sweeper.redaction_token(null, $1, $2) is null`,
		`select sweeper.is_redaction_token(null, $1, $2) is null`,
		`select sweeper.redaction_token('a', null, $2) is null and $1::bytea is not null`,
		`select sweeper.redaction_hmac(null, $1, $2) is null`,
	} {
		if !pgtest.QueryOne[bool](t, conn, sql, inner, outer) {
			t.Errorf("%s: got a value", sql)
		}
	}
}
