package purgelog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// ErrKey is a signing key that the log does not know and that nobody vouches
// for. ErrHMACKey is an HMAC key that is not the log's, with which nothing in the
// log is found and every redaction by {hmac: …} would be made again.
var (
	ErrKey     = errors.New("the signing key is not the purge log's")
	ErrHMACKey = errors.New("SWEEPER_HMAC_KEY is not the purge log's key")
)

// CheckHMACKey refuses HMAC keys of which none is the one that the log names
// last. A log that has not begun, or that names none, takes any.
func CheckHMACKey(ctx context.Context, conn *pgx.Conn, keys ...[]byte) error {
	known, err := readLandmarks(ctx, conn)
	if err != nil {
		return err
	}
	return checkHMACKey(known, keys...)
}

func checkHMACKey(known proof.Landmarks, keys ...[]byte) error {
	name, _ := known.Known(proof.UseHMAC)
	var at []string
	for _, key := range keys {
		if len(key) > 0 {
			at = append(at, proof.Fingerprint(key))
		}
	}
	if name == "" || len(at) == 0 || slices.Contains(at, name) {
		return nil
	}
	return fmt.Errorf("%w: that has the fingerprint %s, and what is set has %s; set the log's key, while rotating behind the new one with a comma, or if it is lost for good run: sweeper log fork",
		ErrHMACKey, name, strings.Join(at, " and "))
}

// keyChanges are the differences between the keys that the log names and those
// at hand. A signing key takes over only from one that is at hand too, and so
// can sign the change: else whoever can start a process could put his own in
// its place. An HMAC key does too, so that a wrong one does nothing; forking, the
// log takes any.
func (l *Log) keyChanges(known proof.Landmarks, forking bool) ([]proof.KeyChange, error) {
	var all []proof.KeyChange
	if len(l.o.Key) > 0 {
		if err := checkHMACKey(known, l.o.Key, l.o.FormerKey); err != nil && !forking {
			return nil, err
		}
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
	changes, err := l.keyChanges(known, false)
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
	changes, err := l.keyChanges(nil, false)
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
