package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint says what the tree was when it had so many entries. Signed and
// kept outside the database, it is what a superuser cannot rewrite.
type Checkpoint struct {
	Origin string // which log, see Origin
	Size   uint64 // entries in the tree
	Root   [32]byte
}

// OriginPrefix opens the origin of every purge log.
const OriginPrefix = "sweeper/purge-log/"

// Origin names a log by the leaf hash of the entry that it began with: genesis,
// or after a restore its last entry of kind fork. So it needs no place of its
// own, and a log that was forked never passes for the one before.
func Origin(leafHash [32]byte) string {
	return fmt.Sprintf("%s%x", OriginPrefix, leafHash[:16])
}

// Text is what a checkpoint's note says: origin, size, and the root in base64,
// a line each, as C2SP's tlog-checkpoint lays it out.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Sign returns the checkpoint as a signed note. Without a signer it is the bare
// text, which proves nothing of who wrote it.
func (c Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	if len(signers) == 0 {
		return []byte(c.Text()), nil
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return signed, nil
}

// ErrUnsigned: a checkpoint bears no signature of a key that was asked for.
var ErrUnsigned = errors.New("the checkpoint has no signature by a known key")

// OpenCheckpoint reads a checkpoint that one of the verifiers' keys has signed;
// without such a signature, or with a wrong one, it is an error. With no
// verifiers at all nobody's signature is asked for.
func OpenCheckpoint(msg []byte, verifiers ...note.Verifier) (Checkpoint, error) {
	text := string(msg)
	body, _, signed := strings.Cut(text, "\n\n")
	switch {
	case len(verifiers) > 0 && signed:
		n, err := note.Open(msg, note.VerifierList(verifiers...))
		if unsigned := new(note.UnverifiedNoteError); errors.As(err, &unsigned) {
			return Checkpoint{}, ErrUnsigned
		}
		if err != nil {
			return Checkpoint{}, fmt.Errorf("read a checkpoint: %w", err)
		}
		text = n.Text
	case signed:
		text = body + "\n"
	}
	c, err := parseCheckpoint(text)
	if err == nil && len(verifiers) > 0 && !signed {
		return Checkpoint{}, ErrUnsigned
	}
	return c, err
}

func parseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return c, errors.New("read a checkpoint: want three lines: origin, size, root")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || lines[1] != strconv.FormatUint(size, 10) {
		return c, errors.New("read a checkpoint: the second line is not a number of entries")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return c, errors.New("read a checkpoint: the third line is not a SHA-256 in base64")
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: [32]byte(root)}, nil
}
