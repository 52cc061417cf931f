package sweeper

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// What to do about a missing or unusable value; parts of sentences.
const (
	createKey = "create one with: openssl rand -hex 32"
	writeURL  = "write postgres://user:password@host:5432/database"
)

// minKeyBytes is the shortest HMAC key: the size of the hash.
const minKeyBytes = 32

const concealed = "[secret]"

// invalid is why a value cannot be used, without the value.
type invalid string

func (i invalid) Error() string { return string(i) }

// Secret holds bytes that no formatting prints: they sit behind a function,
// where reflection does not reach either.
type Secret struct{ reveal func() []byte }

// NewSecret hides a copy of b.
func NewSecret(b []byte) Secret {
	own := append([]byte(nil), b...)
	return Secret{func() []byte { return own }}
}

// IsZero tells whether nothing was set.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Bytes gives the secret itself, nil when nothing was set. Callers neither
// change nor print it.
func (s Secret) Bytes() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// Every way to print a Secret gives the same word, set or not.
func (s Secret) String() string               { return concealed }
func (s Secret) GoString() string             { return concealed }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, concealed) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(concealed) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(concealed), nil }
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + concealed + `"`), nil }

// Keys are one key, or two while rotating: First is used, Second still finds
// what was made with it.
type Keys struct{ First, Second Secret }

// IsZero tells whether there is no key.
func (k Keys) IsZero() bool { return k.First.IsZero() }

// EnvDecode reads one key, or two with a comma between them, of 32 bytes or
// more: hex if all characters are hex digits, else base64.
func (k *Keys) EnvDecode(text string) error {
	parts := strings.Split(text, ",")
	if len(parts) > 2 {
		return invalid("holds more than two keys; write one, or two with a comma between them while rotating")
	}
	var keys [2]Secret
	for i, part := range parts {
		b, err := decodeKey(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		keys[i] = NewSecret(b)
	}
	*k = Keys{First: keys[0], Second: keys[1]}
	return nil
}

var hexDigits = regexp.MustCompile(`^[0-9a-fA-F]+$`)

func decodeKey(text string) ([]byte, error) {
	var b []byte
	var err error
	if hexDigits.MatchString(text) {
		b, err = hex.DecodeString(text)
	} else {
		plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		b, err = base64.RawStdEncoding.DecodeString(plain)
	}
	switch {
	case err != nil:
		return nil, invalid("must be hex or base64, with a comma between two keys; " + createKey)
	case len(b) < minKeyBytes:
		return nil, invalid(fmt.Sprintf("must be %d bytes or more; %s", minKeyBytes, createKey))
	}
	return b, nil
}

// URL is where a connection goes. It prints host, port, database and user;
// the text with its password comes from Reveal alone.
type URL struct{ reveal func() (text, target string) }

// urlOrKeywords is how a URL or a keyword string begins. The parser alone would
// take host:5432/db?sslmode=disable for a setting of that name, and connect to
// the default host.
var urlOrKeywords = regexp.MustCompile(`^(postgres(ql)?://|\s*[a-z_]+\s*=)`)

// EnvDecode accepts a PostgreSQL URL or a keyword string. The empty text
// stands for libpq's variables.
func (u *URL) EnvDecode(text string) error {
	wrong := invalid("is not a PostgreSQL URL or keyword string; " + writeURL)
	if text != "" && !urlOrKeywords.MatchString(text) {
		return wrong
	}
	cfg, err := pgx.ParseConfig(text)
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return invalid("names a certificate, key or service file that cannot be read; correct the path or make the file readable")
	case err != nil:
		return wrong
	}
	target := pg.Target(cfg)
	u.reveal = func() (string, string) { return text, target }
	return nil
}

// IsZero tells whether nothing was set.
func (u URL) IsZero() bool { return u.reveal == nil }

// Reveal gives the text to connect with, password included; empty for
// libpq's variables. Only what opens a connection calls it.
func (u URL) Reveal() string {
	if u.reveal == nil {
		return ""
	}
	text, _ := u.reveal()
	return text
}

// String names host, port, database and user.
func (u URL) String() string {
	if u.reveal == nil {
		return ""
	}
	_, target := u.reveal()
	return target
}

// Every other way to print a URL gives what String does.
func (u URL) GoString() string             { return u.String() }
func (u URL) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, u.String()) }
func (u URL) LogValue() slog.Value         { return slog.StringValue(u.String()) }
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
