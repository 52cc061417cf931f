package proof

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// GenerateKey makes an Ed25519 key pair in signed-note form. Private is what
// SWEEPER_SIGNING_KEY takes; public is what auditors pin.
func GenerateKey(name string) (private, public string, err error) {
	if name == "" || strings.ContainsAny(name, "+, \t\r\n") {
		return "", "", errors.New("make a signing key: a name has no space, plus sign or comma, for example acme.example/purge-log")
	}
	private, public, err = note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", "", fmt.Errorf("make a signing key: %w", err)
	}
	return private, public, nil
}

// OpenKey reads a private key and gives its public half too.
func OpenKey(private string) (signer note.Signer, public string, err error) {
	if signer, err = note.NewSigner(private); err != nil {
		return nil, "", errors.New("not an Ed25519 signer key in signed-note form")
	}
	_, data, _ := strings.Cut(strings.TrimPrefix(private, "PRIVATE+KEY+"), "+")
	_, data, _ = strings.Cut(data, "+")
	seed, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(seed) != 1+ed25519.SeedSize { // the first byte names the algorithm
		return nil, "", errors.New("not an Ed25519 signer key in signed-note form")
	}
	half, _ := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	public, err = note.NewEd25519VerifierKey(signer.Name(), half)
	return signer, public, err
}

// OpenPublic reads a public key in signed-note form.
func OpenPublic(public string) (note.Verifier, error) {
	v, err := note.NewVerifier(public)
	if err != nil {
		return nil, errors.New("read a public key: not an Ed25519 verifier key in signed-note form, name+hash+data")
	}
	return v, nil
}

// Fingerprint names an HMAC key without telling anything of it: the first 8
// bytes of HMAC-SHA-256(K, "sweeper/key/v1"), in hex.
func Fingerprint(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("sweeper/key/v1"))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// The uses of a key.
const (
	UseSigning = "signing" // names are public keys in signed-note form
	UseHMAC    = "hmac"    // names are fingerprints
)

// KeyChange is what an entry says of a key: from there on New is in use, in
// place of Old. Old is "" for the first one, New for none from here on.
type KeyChange struct{ Use, Old, New string }

const (
	noKey   = "none"
	keyMark = " key: "
)

// Text is the change as the reference of an entry has it, one sentence a key.
func (k KeyChange) Text() string {
	name := func(s string) string {
		if s == "" {
			return noKey
		}
		return s
	}
	return k.Use + keyMark + name(k.Old) + " -> " + name(k.New)
}

// KeyChanges reads what an entry says of keys: genesis names the first ones,
// key_rotation those that follow. Other kinds say nothing.
func KeyChanges(e *Entry) []KeyChange {
	if e.Reference == nil || e.Kind != KindGenesis && e.Kind != KindKeyRotation {
		return nil
	}
	var all []KeyChange
	for one := range strings.SplitSeq(*e.Reference, "; ") {
		use, names, ok := strings.Cut(one, keyMark)
		old, fresh, both := strings.Cut(names, " -> ")
		if ok && both && (use == UseSigning || use == UseHMAC) {
			all = append(all, KeyChange{use, named(old), named(fresh)})
		}
	}
	return all
}

func named(s string) string {
	if s == noKey {
		return ""
	}
	return s
}

// Fork is the reference of an entry of that kind, in JSON: what the log was
// before, and what it leaves behind.
type Fork struct {
	Reason  string   `json:"reason"`
	Origin  string   `json:"origin"`           // of the log before; "" when it had not begun
	Source  string   `json:"source,omitempty"` // the server that it was of, when that has changed
	Anchors []Behind `json:"anchors"`          // the newest checkpoint of each log that each anchor holds
}

// Behind is a checkpoint that a fork leaves behind.
type Behind struct {
	Anchor string `json:"anchor"`
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"` // in hex
}

// Text is the fork as the entry's reference.
func (f Fork) Text() string {
	text, _ := json.Marshal(f) // strings and numbers alone: never fails
	return string(text)
}

// OpenFork reads the reference of an entry of kind fork.
func OpenFork(e *Entry) (Fork, error) {
	var f Fork
	if e.Kind != KindFork || e.Reference == nil {
		return f, fmt.Errorf("entry %d is no fork", e.Seq)
	}
	if err := json.Unmarshal([]byte(*e.Reference), &f); err != nil {
		return f, fmt.Errorf("entry %d is a fork and does not say what from", e.Seq)
	}
	return f, nil
}

// Landmarks are the entries that say whose log it is and with which keys it is
// signed: those of the kinds genesis, fork and key_rotation, in the order of
// the log.
type Landmarks []Entry

// Epoch is the life of a log under one origin.
type Epoch struct {
	Origin string
	First  uint64   // seq of the entry that it began with
	End    uint64   // seq of the fork that ended it; the largest number: none did
	Keys   []KeySet // in the order of the log
}

// KeySet is a signing key and the first size of tree that it signs.
type KeySet struct {
	Key  string
	From uint64
}

// Epochs sorts the landmarks. A fork begins a new origin, whose first signing
// key owes nothing to the one before.
func (l Landmarks) Epochs() []Epoch {
	var all []Epoch
	for i := range l {
		e := &l[i]
		seq := uint64(e.Seq)
		if e.Kind == KindGenesis || e.Kind == KindFork {
			if len(all) > 0 {
				all[len(all)-1].End = seq
			}
			all = append(all, Epoch{Origin: Origin([32]byte(e.LeafHash)), First: seq, End: ^uint64(0)})
		}
		if len(all) == 0 { // the beginning was pruned
			all = append(all, Epoch{End: ^uint64(0)})
		}
		for _, c := range KeyChanges(e) {
			if c.Use == UseSigning {
				last := &all[len(all)-1]
				last.Keys = append(last.Keys, KeySet{c.New, seq + 1})
			}
		}
	}
	return all
}

// Known tells the name of the key in use at the end of the log, "" when none
// was ever named.
func (l Landmarks) Known(use string) (name string, named bool) {
	for i := range l {
		if l[i].Kind == KindFork && use == UseSigning {
			name, named = "", false
		}
		for _, c := range KeyChanges(&l[i]) {
			if c.Use == use {
				name, named = c.New, true
			}
		}
	}
	return name, named
}

// At is the key that signs the trees of a size, "" for none.
func (e Epoch) At(size uint64) string {
	key := ""
	for _, k := range e.Keys {
		if size >= k.From {
			key = k.Key
		}
	}
	return key
}

// Has tells whether the log ever named the key under this origin.
func (e Epoch) Has(key string) bool {
	return slices.ContainsFunc(e.Keys, func(k KeySet) bool { return k.Key == key })
}
