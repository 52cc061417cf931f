package proof_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func newKey(t *testing.T, name string) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

var checkpoint = proof.Checkpoint{Origin: proof.Origin([32]byte{1, 2}), Size: 300000, Root: [32]byte{3, 4}}

func TestCheckpointText(t *testing.T) {
	t.Parallel()
	const want = "sweeper/purge-log/01020000000000000000000000000000\n300000\nAwQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	if got := checkpoint.Text(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSignedCheckpointOpens(t *testing.T) {
	t.Parallel()
	old, oldKey := newKey(t, "acme")
	fresh, freshKey := newKey(t, "acme")
	_, strange := newKey(t, "acme")
	msg, err := checkpoint.Sign(fresh, old)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []note.Verifier{oldKey, freshKey} {
		if got, err := proof.OpenCheckpoint(msg, v); err != nil || got != checkpoint {
			t.Errorf("got %v, error %v", got, err)
		}
	}
	if got, err := proof.OpenCheckpoint(msg); err != nil || got != checkpoint {
		t.Errorf("without a key: got %v, error %v", got, err)
	}
	if _, err := proof.OpenCheckpoint(msg, strange); !errors.Is(err, proof.ErrUnsigned) {
		t.Errorf("a strange key: got error %v", err)
	}
	for i := range msg {
		changed := append([]byte(nil), msg...)
		changed[i] ^= 1
		if got, err := proof.OpenCheckpoint(changed, freshKey); err == nil && got != checkpoint {
			t.Errorf("byte %d changed: opened as %v", i, got)
		}
	}
}

func TestUnsignedCheckpointOpensOnlyWithoutAKey(t *testing.T) {
	t.Parallel()
	_, key := newKey(t, "acme")
	msg, err := checkpoint.Sign()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := proof.OpenCheckpoint(msg); err != nil || got != checkpoint {
		t.Errorf("got %v, error %v", got, err)
	}
	if _, err := proof.OpenCheckpoint(msg, key); err == nil {
		t.Error("an unsigned checkpoint passes for a signed one")
	}
}

func TestCheckpointRefuses(t *testing.T) {
	t.Parallel()
	const root = "AwQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, text := range []string{
		"", "a\n1\n", "a\n1\n" + root, "a\n01\n" + root + "\n", "a\n-1\n" + root + "\n", "a\n9999999999999999999\n" + root + "\n",
		"a\n1\nAwQ=\n", "a\n1\n" + root + "\nmore\n", "a\n1\nAwQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
	} {
		if got, err := proof.OpenCheckpoint([]byte(text)); err == nil {
			t.Errorf("%q opens as %v", text, got)
		}
	}
}
