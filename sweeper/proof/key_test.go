package proof_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func TestGeneratedKeyOpens(t *testing.T) {
	t.Parallel()
	private, public, err := proof.GenerateKey("acme.example/purge-log")
	if err != nil {
		t.Fatal(err)
	}
	signer, half, err := proof.OpenKey(private)
	if err != nil || half != public {
		t.Fatalf("got public key %q, want %q, error %v", half, public, err)
	}
	verifier, err := proof.OpenPublic(public)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := checkpoint.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := proof.OpenCheckpoint(msg, verifier); err != nil || got != checkpoint {
		t.Errorf("got %v, error %v", got, err)
	}
	for _, name := range []string{"", "a b", "a+b", "a,b"} {
		if _, _, err := proof.GenerateKey(name); err == nil {
			t.Errorf("name %q is taken", name)
		}
	}
	for _, bad := range []string{"", public, private[:len(private)-4], "PRIVATE+KEY+a+00000000+AA=="} {
		if _, _, err := proof.OpenKey(bad); err == nil {
			t.Errorf("%d characters that are no key are taken", len(bad))
		}
	}
}

func TestKeyChangesAreReadBack(t *testing.T) {
	t.Parallel()
	want := []proof.KeyChange{{"hmac", "", "0011223344556677"}, {"signing", "a+00000000+AAAA", "b+11111111+BB/+"}}
	text := want[0].Text() + "; " + want[1].Text()
	if text != "hmac key: none -> 0011223344556677; signing key: a+00000000+AAAA -> b+11111111+BB/+" {
		t.Error(text)
	}
	if diff := cmp.Diff(want, proof.KeyChanges(&proof.Entry{Kind: "key_rotation", Reference: &text})); diff != "" {
		t.Error(diff)
	}
	if got := proof.KeyChanges(&proof.Entry{Kind: "gap", Reference: &text}); got != nil {
		t.Errorf("a gap names keys: %v", got)
	}
}

// A fork's signing key owes nothing to the one before; its HMAC key goes on.
func TestEpochsBeginWithForks(t *testing.T) {
	t.Parallel()
	entry := func(seq int64, kind, reference string) proof.Entry {
		hash := proof.HashLeaf([]byte{byte(seq)})
		return proof.Entry{Seq: seq, Kind: kind, Reference: &reference, LeafHash: hash[:]}
	}
	l := proof.Landmarks{
		entry(0, "genesis", "hmac key: none -> h1; signing key: none -> A"), entry(5, "key_rotation", "signing key: A -> B"),
		entry(9, "fork", proof.Fork{Reason: `x"; signing key: B -> thief`, Origin: "o"}.Text()),
	}
	if key, named := l.Known("signing"); key != "" || named {
		t.Errorf("behind a fork key %q counts", key)
	}
	if key, _ := l.Known("hmac"); key != "h1" {
		t.Errorf("behind a fork the HMAC key is %q", key)
	}
	l = append(l, entry(10, "key_rotation", "signing key: none -> C"))
	all := l.Epochs()
	if len(all) != 2 || all[0].First != 0 || all[0].End != 9 || all[1].First != 9 || all[0].Origin == all[1].Origin {
		t.Fatalf("%+v", all)
	}
	for size, want := range map[uint64]string{1: "A", 5: "A", 6: "B", 9: "B"} {
		if got := all[0].At(size); got != want {
			t.Errorf("at size %d: key %q, want %q", size, got, want)
		}
	}
	if all[1].At(10) != "" || all[1].At(11) != "C" || all[0].Has("C") || !all[1].Has("C") {
		t.Errorf("%+v", all[1])
	}
	f, err := proof.OpenFork(&l[2])
	if err != nil || f.Origin != "o" || f.Reason != `x"; signing key: B -> thief` {
		t.Errorf("%+v, error %v", f, err)
	}
}
