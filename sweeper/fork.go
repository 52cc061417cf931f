package sweeper

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// ForkOptions are what one call of Fork says beside the configuration.
type ForkOptions struct {
	Actor, Reason string
	Force         bool // fork a log that nothing is the matter with
	Warn          func(string)
	Now           func() time.Time
}

// Forked is what a fork left behind and began.
type Forked struct {
	Why    []string // it was needed; none: it was forced
	Former string   // origin; "" when the log had not begun
	Note   string   // the first checkpoint of the new origin
}

// Fork lets the purge log go on after a restore, on another server, with a
// signing key that nothing vouches for, or when the HMAC key is lost: behind an entry of kind fork that names
// what was before and what is left behind. It is refused while the log simply
// continues what is anchored.
func Fork(ctx context.Context, cfg Config, log *slog.Logger, o ForkOptions) (Forked, error) {
	if o.Actor == "" || o.Reason == "" {
		return Forked{}, errors.New("fork the purge log: say who does it and why")
	}
	self := newInstance()
	conn, _, err := cfg.logger(ctx, self)
	if err != nil {
		return Forked{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	slot, systemID, err := cfg.evidence(ctx, conn)
	if err != nil {
		return Forked{}, err
	}
	n, err := newNotary(cfg, log, o.Now, nil)
	if err != nil {
		return Forked{}, err
	}
	done, f, err := n.divergence(ctx, conn, systemID+"/"+cfg.Slot)
	if err != nil {
		return done, err
	}
	if len(done.Why) == 0 && !o.Force {
		return done, &SetupError{"there is nothing to fork: the purge log is this server's and continues what is anchored", "add --force to begin a new origin all the same"}
	}
	f.Reason = o.Reason
	err = purgelog.Fork(ctx, cfg.logOptions(systemID, uint64(slot.Confirmed), log, self), o.Actor, f)
	if errors.Is(err, purgelog.ErrBusy) {
		return done, fmt.Errorf("fork the purge log: it is being written (%s); end that process and try again: %w", pg.LockHolder(ctx, conn, pg.LockLog), err)
	}
	if err != nil {
		return done, err
	}
	n.forking = true
	made, unanchored, err := n.checkpoint(ctx, conn)
	if made != nil {
		done.Note = string(made.note)
	}
	if unanchored != nil && o.Warn != nil {
		o.Warn("the first checkpoint of the new origin is not anchored yet: " + safeText(unanchored))
	}
	return done, err
}

// divergence tells why the log needs a fork, and what it would leave behind.
// Every anchor must be reached for that.
func (n *notary) divergence(ctx context.Context, conn *pgx.Conn, source string) (Forked, proof.Fork, error) {
	var done Forked
	f := proof.Fork{Anchors: []proof.Behind{}}
	s, err := purgelog.Snap(ctx, conn)
	if err != nil {
		return done, f, err
	}
	defer s.Close(ctx)
	done.Former = s.Epoch().Origin
	f.Origin = done.Former
	_, err = n.agrees(ctx, s)
	switch {
	case errors.Is(err, ErrAnchorBroken):
		done.Why = append(done.Why, err.Error())
	case err != nil:
		return done, f, err
	}
	if f.Anchors, err = n.behind(ctx, s); err != nil {
		return done, f, err
	}
	var foreign bool
	err = conn.QueryRow(ctx, `select not exists (select from sweeper.log_progress where source = $1)`, source).Scan(&foreign)
	if err != nil {
		return done, f, pg.Wrap("read the progress of the purge log", err)
	}
	if foreign && s.Size > 0 {
		done.Why = append(done.Why, "the purge log belongs to another server or slot than "+source)
	}
	known, _ := s.Landmarks.Known(proof.UseSigning)
	fresh, former := n.cfg.SigningKey.First.Public(), n.cfg.SigningKey.Second.Public()
	if known != "" && known != fresh && (fresh == "" || known != former) {
		done.Why = append(done.Why, "the log's signing key is not at hand: "+known)
	}
	if err := purgelog.CheckHMACKey(ctx, conn, n.cfg.hmacKeys()...); errors.Is(err, purgelog.ErrHMACKey) {
		name, _ := s.Landmarks.Known(proof.UseHMAC)
		done.Why = append(done.Why, "the log's HMAC key is not at hand: the one with the fingerprint "+name)
	} else if err != nil {
		return done, f, err
	}
	return done, f, nil
}

// behind are the newest checkpoints of every log that the anchors hold.
func (n *notary) behind(ctx context.Context, s *purgelog.Snapshot) ([]proof.Behind, error) {
	all := []proof.Behind{}
	for _, a := range n.anchors {
		origins, err := a.Origins(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnchorUnreachable, err)
		}
		for _, origin := range origins {
			c, found, err := n.pick(ctx, s, a, origin, 0)
			if err != nil && !errors.Is(err, ErrAnchorBroken) {
				return nil, fmt.Errorf("%w: %w", ErrAnchorUnreachable, err)
			}
			if found || err != nil {
				all = append(all, proof.Behind{Anchor: a.String(), Origin: origin, Size: c.Size, Root: hex.EncodeToString(c.Root[:])})
			}
		}
	}
	return all, nil
}
