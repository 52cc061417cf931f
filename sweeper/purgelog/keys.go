package purgelog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// ErrKey is a signing key that the log does not know and that nobody vouches
// for.
var ErrKey = errors.New("the signing key is not the purge log's")

// keyChanges are the differences between the keys that the log names and those
// at hand. A signing key takes over only from one that is at hand too, and so
// can sign the change: else whoever can start a process could put his own in
// its place.
func (l *Log) keyChanges(known proof.Landmarks) ([]proof.KeyChange, error) {
	var all []proof.KeyChange
	if len(l.o.Key) > 0 {
		old, _ := known.Known(proof.UseHMAC)
		if fresh := proof.Fingerprint(l.o.Key); fresh != old {
			all = append(all, proof.KeyChange{Use: proof.UseHMAC, Old: old, New: fresh})
		}
	}
	old, _ := known.Known(proof.UseSigning)
	fresh := l.o.SigningKey
	switch {
	case old == fresh:
	case fresh == "":
		return nil, fmt.Errorf("%w: its checkpoints are signed with %s and SWEEPER_SIGNING_KEY is not set; set it, or if the key is lost run: sweeper log fork", ErrKey, old)
	case old != "" && l.o.FormerSigningKey != old:
		return nil, fmt.Errorf("%w: its checkpoints are signed with %s; write that key behind the new one in SWEEPER_SIGNING_KEY, with a comma, or if it is lost or stolen run: sweeper log fork", ErrKey, old)
	default:
		all = append(all, proof.KeyChange{Use: proof.UseSigning, Old: old, New: fresh})
	}
	return all, nil
}

// keys says in the log which keys are in use from here on, when that is not
// what it said last.
func (l *Log) keys(ctx context.Context) error {
	known, err := readLandmarks(ctx, l.conn)
	if err != nil {
		return err
	}
	changes, err := l.keyChanges(known)
	if err != nil || len(changes) == 0 {
		return err
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	if err := l.rotated(changes); err != nil {
		return err
	}
	for _, c := range changes {
		if c.Old != "" {
			l.o.Log.WarnContext(ctx, "a key of the purge log has changed", slog.String("why", c.Text()))
		}
	}
	_, err = l.Flush(ctx)
	return err
}

// rotated appends one entry for each key that has changed.
func (l *Log) rotated(changes []proof.KeyChange) error {
	for _, c := range changes {
		text := c.Text()
		if err := l.append(proof.Entry{Kind: proof.KindKeyRotation, CommitLSN: l.pending.applied, Reference: &text}); err != nil {
			return err
		}
	}
	return nil
}

// firstKeys is what the genesis entry says of keys; nil: there are none.
func (l *Log) firstKeys() (*string, error) {
	changes, err := l.keyChanges(nil)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.Text()
	}
	text := strings.Join(texts, "; ")
	return &text, nil
}
