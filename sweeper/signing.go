package sweeper

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	signed "golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper/anchor"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// createSigner is what to do about a missing or unusable signing key.
const createSigner = "create one with: sweeper log keygen NAME"

// SigningKey signs checkpoints. It prints its public half.
type SigningKey struct {
	signer signed.Signer
	public string
}

// IsZero tells whether there is no key.
func (k SigningKey) IsZero() bool { return k.signer == nil }

// Public is the key that verifies what this one signed, "" when there is none.
func (k SigningKey) Public() string { return k.public }

// SigningKeys are one key, or two while rotating: First signs, and Second along
// with it until the log has changed over.
type SigningKeys struct{ First, Second SigningKey }

// EnvDecode reads one Ed25519 signer key in signed-note form, or two with a
// comma between them.
func (k *SigningKeys) EnvDecode(text string) error {
	parts := strings.Split(text, ",")
	if len(parts) > 2 {
		return invalid("holds more than two keys; write one, or the new and the old one with a comma between them while rotating")
	}
	var keys [2]SigningKey
	for i, part := range parts {
		signer, public, err := proof.OpenKey(strings.TrimSpace(part))
		if err != nil {
			return invalid("is not an Ed25519 signer key, PRIVATE+KEY+name+hash+data, or two with a comma between them; " + createSigner)
		}
		keys[i] = SigningKey{signer, public}
	}
	if keys[0].public == keys[1].public {
		return invalid("holds one key twice; write it once")
	}
	*k = SigningKeys{First: keys[0], Second: keys[1]}
	return nil
}

// IsZero tells whether there is no key.
func (k SigningKeys) IsZero() bool { return k.First.IsZero() }

// String names the public halves.
func (k SigningKeys) String() string {
	return strings.TrimSuffix(k.First.public+","+k.Second.public, ",")
}

// Every other way to print keys gives what String does.
func (k SigningKeys) GoString() string             { return k.String() }
func (k SigningKeys) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, k.String()) }
func (k SigningKeys) LogValue() slog.Value         { return slog.StringValue(k.String()) }
func (k SigningKeys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// of is the key with that public half.
func (k SigningKeys) of(public string) (signed.Signer, bool) {
	for _, one := range []SigningKey{k.First, k.Second} {
		if public != "" && one.public == public {
			return one.signer, true
		}
	}
	return nil, false
}

// signed tells whether one of the keys has signed a note; where there is no key,
// none is asked for.
func (k SigningKeys) signed(note []byte) bool {
	if k.IsZero() {
		return true
	}
	return slices.ContainsFunc([]SigningKey{k.First, k.Second}, func(one SigningKey) bool {
		v, err := proof.OpenPublic(one.public)
		if err != nil {
			return false
		}
		_, err = proof.OpenCheckpoint(note, v)
		return err == nil
	})
}

// AnchorURLs say where checkpoints are kept outside the database.
type AnchorURLs []string

// EnvDecode reads a comma list of URLs.
func (a *AnchorURLs) EnvDecode(text string) error {
	if text == "" {
		return nil // the decoder asks about a list that is not set, too
	}
	var all AnchorURLs
	for part := range strings.SplitSeq(text, ",") {
		url := strings.TrimSpace(part)
		if err := anchor.Check(url); err != nil {
			return invalid("must be file:///dir or s3://bucket/prefix, with a comma between several: " + err.Error())
		}
		if slices.Contains(all, url) {
			return invalid("names one anchor twice; write it once")
		}
		all = append(all, url)
	}
	*a = all
	return nil
}
