package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	signed "golang.org/x/mod/sumdb/note"

	"github.com/pgsweeper/sweeper/sweeper/anchor"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// What a look at the anchors can find.
var (
	ErrAnchorBroken      = errors.New("the purge log does not continue its checkpoints")
	ErrAnchorUnreachable = errors.New("whether the purge log continues its checkpoints cannot be decided, an anchor cannot be reached")
)

// notary holds the log against its anchors, and makes checkpoints of it. It
// signs no tree that does not continue each anchored one: first the newest
// checkpoint is read from each anchor, not from the database, which may have
// been restored or rewritten.
type notary struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	health  *Health // nil: nobody watches
	anchors []anchor.Anchor
	forking bool // it is this process that forks the log

	mu     sync.Mutex
	seen   *seen           // what was found whole last; nil: nothing yet
	line   int             // the timeline it was found on
	warned map[string]bool // what was said of notes that count for nothing
}

// seen is a tree that this process has found to continue what is anchored: the
// next one must continue it too, whether the anchors can be reached or not.
type seen struct {
	origin string
	tree   *proof.Tree
}

const (
	anchorTimeout = time.Minute     // for one look at all anchors
	anchorAgain   = 5 * time.Second // for each, when this process has seen them before: the log waits for it
)

func newNotary(cfg Config, log *slog.Logger, now func() time.Time, health *Health) (*notary, error) {
	n := &notary{cfg: cfg, log: log, now: now, health: health, warned: map[string]bool{}}
	// A bucket with Object Lock keeps a checkpoint for as long as the log, and a
	// year more.
	keep := cfg.LogRetention
	until := func() time.Time { return now().AddDate(keep.Years+1, keep.Months, 7*keep.Weeks+keep.Days) }
	for _, url := range cfg.AnchorURL {
		a, err := anchor.Open(url, anchor.Options{Until: until})
		if err != nil {
			return nil, &ConfigError{"SWEEPER_ANCHOR_URL", err.Error()}
		}
		n.anchors = append(n.anchors, a)
	}
	return n, nil
}

// begin is the look before the log is written by this process: a process that
// has not seen the log before needs every anchor for it. What it finds is told
// to the health.
func (n *notary) begin(ctx context.Context, conn *pgx.Conn) error {
	if n == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, anchorTimeout)
	defer cancel()
	line, err := timelineOf(ctx, conn)
	if err != nil {
		return err
	}
	n.follow(line)
	s, err := purgelog.Snap(ctx, conn)
	if err != nil {
		return err
	}
	defer s.Close(ctx)
	st, err := n.agrees(ctx, s)
	n.health.agreed(n.now(), st.size(), err)
	return err
}

// follow forgets what this process saw on another timeline: an asynchronous
// standby that is promoted lacks the last entries, and what it may lack is for
// the anchors to say, which are late for its sake.
func (n *notary) follow(line int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.line != line {
		n.seen, n.line = nil, line
	}
}

func timelineOf(ctx context.Context, conn *pgx.Conn) (line int, err error) {
	err = conn.QueryRow(ctx, `select `+pg.TimelineSQL).Scan(&line)
	return line, pg.Wrap("look at the timeline", err)
}

// standing is how the log stands against its anchors.
type standing struct {
	trees   []place            // of checkpoints that it continues
	kept    []proof.Checkpoint // the newest of this log at each anchor, in their order; Size 0: none
	missing map[int]error      // anchors that cannot be reached, by index
}

// patience is how long to wait for one anchor. The lock is the caller's.
func (n *notary) patience() time.Duration {
	if n.seen != nil {
		return anchorAgain
	}
	return anchorTimeout / 2
}

// place is a tree, and where it is known from.
type place struct {
	*proof.Tree
	where string
}

// size is up to where the log is in every anchor, as far as they can be
// reached.
func (st standing) size() uint64 {
	least := ^uint64(0)
	for i, c := range st.kept {
		if st.missing[i] == nil {
			least = min(least, c.Size)
		}
	}
	if least == ^uint64(0) {
		return 0
	}
	return least
}

// largest is the largest tree that is known to be the log's beginning and has
// at most so many entries.
func (st standing) largest(most uint64, more ...place) place {
	best := place{&proof.Tree{}, "nothing"}
	for _, t := range slices.Concat(st.trees, more) { // of two alike the anchor's
		if t.Size() > best.Size() && t.Size() <= most {
			best = t
		}
	}
	return best
}

// agrees tells whether the log continues what each anchor holds, the newest
// checkpoint in the database, and what this process saw before.
func (n *notary) agrees(ctx context.Context, s *purgelog.Snapshot) (standing, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	st := standing{kept: make([]proof.Checkpoint, len(n.anchors)), missing: map[int]error{}}
	for i, a := range n.anchors {
		looking, cancel := context.WithTimeout(ctx, n.patience())
		c, err := n.newest(ctx, looking, s, a)
		cancel()
		if err != nil && !errors.Is(err, ErrAnchorBroken) && !errors.Is(err, purgelog.ErrBroken) {
			st.missing[i] = err
			continue
		}
		if err == nil {
			err = st.take(ctx, s, c, a.String())
		}
		if err != nil {
			return st, err
		}
		st.kept[i] = c
	}
	if err := n.own(ctx, s, &st); err != nil {
		return st, err
	}
	before, err := n.remembers(s)
	if err != nil {
		return st, err
	}
	if n.seen == nil && len(st.missing) > 0 {
		return st, fmt.Errorf("%w: %w", ErrAnchorUnreachable, errors.Join(slices.Collect(maps.Values(st.missing))...))
	}
	base := st.largest(s.Size, append(before, place{s.Pruned(), "sweeper.log_prunes"})...)
	tree := base.Clone()
	if err := s.Extend(ctx, tree, s.Size); err != nil {
		return st, err
	}
	if tree.Root() != s.Root {
		return st, fmt.Errorf("%w: of the database's %d entries the first %d, as %s has them, and those since do not give log_head.root: somebody has rewritten them; see: sweeper log verify, and to go on: sweeper log fork",
			ErrAnchorBroken, s.Size, base.Size(), base.where)
	}
	n.seen = &seen{s.Epoch().Origin, tree}
	return st, nil
}

// take adds the tree of a checkpoint that the log continues.
func (st *standing) take(ctx context.Context, s *purgelog.Snapshot, c proof.Checkpoint, where string) error {
	if c.Size == 0 {
		return nil
	}
	tree, err := continues(ctx, s, c, where)
	if err == nil {
		st.trees = append(st.trees, place{tree, where})
	}
	return err
}

// own holds the log against the newest checkpoint of the database, which is as
// good as its signature.
func (n *notary) own(ctx context.Context, s *purgelog.Snapshot, st *standing) error {
	last, err := s.Newest(ctx, s.Epoch().Origin, "")
	if err == nil {
		err = n.forkIsOurs(s, last)
	}
	if err != nil || last == nil {
		return err
	}
	c, err := n.open(s, []byte(last.Note))
	if err != nil || c.Origin != last.Origin || c.Size != last.Size {
		return fmt.Errorf("%w: row %d of sweeper.checkpoints is not a checkpoint of it that a known key has signed, beside %d entries in the database; see: sweeper log verify", ErrAnchorBroken, last.ID, s.Size)
	}
	return st.take(ctx, s, c, "sweeper.checkpoints")
}

// forkIsOurs refuses a fork that no key at hand has signed. The verb makes the
// first checkpoint along with the entry; an entry alone is what somebody writes
// who has the database and not the key, so that a rewritten log passes for a new
// one.
func (n *notary) forkIsOurs(s *purgelog.Snapshot, last *purgelog.Kept) error {
	e := s.Epoch()
	forked := slices.ContainsFunc(s.Landmarks, func(l proof.Entry) bool { return l.Kind == proof.KindFork && uint64(l.Seq) == e.First })
	if !forked || n.forking || n.cfg.SigningKey.IsZero() {
		return nil
	}
	if last != nil {
		for _, key := range []SigningKey{n.cfg.SigningKey.First, n.cfg.SigningKey.Second} {
			v, err := proof.OpenPublic(key.Public())
			if err != nil {
				continue
			}
			if c, err := proof.OpenCheckpoint([]byte(last.Note), v); err == nil && c.Origin == e.Origin {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: its entry %d of %d says that it was forked, and no checkpoint of that is signed with SWEEPER_SIGNING_KEY; if it was you, run: sweeper log fork", ErrAnchorBroken, e.First, s.Size)
}

// remembers gives the tree that this process saw last, if the log still can
// be what it was.
func (n *notary) remembers(s *purgelog.Snapshot) ([]place, error) {
	switch {
	case n.seen == nil || n.seen.origin == "": // or it began under our eyes
		return nil, nil
	case n.seen.origin != s.Epoch().Origin && s.Origins()[n.seen.origin]:
		n.seen = nil // it was forked since
		return nil, nil
	}
	if size := n.seen.tree.Size(); n.seen.origin != s.Epoch().Origin || size > s.Size {
		return nil, fmt.Errorf("%w: this process saw it with %d entries and the database has %d; after a restore run: sweeper log fork", ErrAnchorBroken, size, s.Size)
	}
	return []place{{n.seen.tree, "this process"}}, nil
}

// continues gives the log's own tree at the size of an anchored checkpoint of
// it, when that is the anchored one.
func continues(ctx context.Context, s *purgelog.Snapshot, c proof.Checkpoint, where string) (*proof.Tree, error) {
	switch {
	case c.Size == 0:
		return &proof.Tree{}, nil
	case c.Size > s.Size:
		return nil, fmt.Errorf("%w: %s holds a checkpoint of %d entries and the database has %d, as after a restore; run: sweeper log fork", ErrAnchorBroken, where, c.Size, s.Size)
	}
	tree, err := s.Tree(ctx, c.Origin, c.Size, c.Root)
	switch {
	case err != nil:
		return nil, err
	case tree == nil:
		return nil, fmt.Errorf("%w: of the checkpoint of %d entries at %s the entries are pruned and sweeper.checkpoints has no row; run: sweeper log fork", ErrAnchorBroken, c.Size, where)
	case tree.Root() != c.Root:
		return nil, fmt.Errorf("%w: the first %d entries are others than in the checkpoint at %s, now of %d: somebody has rewritten them; see: sweeper log verify, and to go on: sweeper log fork",
			ErrAnchorBroken, c.Size, where, s.Size)
	}
	return tree, nil
}

// newest reads the newest checkpoint of this log from an anchor. An anchor that
// knows other logs than this one ever was belongs to another database, or the
// log was begun anew; one that has lost what was kept there proves nothing.
// looking bounds what is asked of the anchor: a query that is cut off would cost
// the connection.
func (n *notary) newest(ctx, looking context.Context, s *purgelog.Snapshot, a anchor.Anchor) (proof.Checkpoint, error) {
	origins, err := a.Origins(looking)
	if err != nil {
		return proof.Checkpoint{}, err
	}
	own, known := s.Epoch().Origin, s.Origins()
	for _, origin := range origins {
		if known[origin] {
			continue
		}
		c, found, err := n.pick(looking, s, a, origin, 0)
		if err != nil {
			return c, err
		}
		if found {
			return c, fmt.Errorf("%w: %s holds a checkpoint of %d entries of log %s, which this database with its %d entries never was; each database has an anchor of its own, and after a restore or with a log begun anew run: sweeper log fork",
				ErrAnchorBroken, a, c.Size, origin, s.Size)
		}
	}
	if own == "" {
		return proof.Checkpoint{}, nil
	}
	last, err := s.Newest(ctx, own, a.String())
	if err != nil {
		return proof.Checkpoint{}, err
	}
	var from uint64
	if last != nil {
		from = last.Size
	}
	c, found, err := n.pick(looking, s, a, own, from)
	if err == nil && !found && last != nil {
		return c, fmt.Errorf("%w: %s held a checkpoint of %d entries and has it no more, or not as it was, beside %d entries in the database; see: sweeper log verify, and to go on without it: sweeper log fork",
			ErrAnchorBroken, a, last.Size, s.Size)
	}
	return c, err
}

// pick reads the checkpoints of an anchor from the newest down, to the first
// that counts. Notes that no known key has signed count for nothing: whoever
// may write to the anchor can put them there.
func (n *notary) pick(ctx context.Context, s *purgelog.Snapshot, a anchor.Anchor, origin string, from uint64) (proof.Checkpoint, bool, error) {
	list, err := a.List(ctx, origin, from)
	if err != nil {
		return proof.Checkpoint{}, false, err
	}
	var best proof.Checkpoint
	for i := len(list) - 1; i >= 0; i-- {
		k := list[i]
		if best.Size > 0 && k.Size < best.Size {
			break
		}
		note, err := a.Read(ctx, k)
		if err != nil {
			return best, false, err
		}
		c, err := n.open(s, note)
		if err != nil || c.Origin != origin || c.Size != k.Size {
			n.ignore(ctx, a, k)
			continue
		}
		if best.Size > 0 && c != best {
			return best, false, fmt.Errorf("%w: %s holds two checkpoints of %d entries with different roots, beside %d entries in the database: somebody who has the key signed another log; run: sweeper log verify",
				ErrAnchorBroken, a, k.Size, s.Size)
		}
		best = c
	}
	return best, best.Size > 0, nil
}

// ignore says once that a note counts for nothing.
func (n *notary) ignore(ctx context.Context, a anchor.Anchor, k anchor.Kept) {
	what := fmt.Sprintf("%s %s %d %s", a, k.Origin, k.Size, k.Version)
	if !n.warned[what] {
		n.warned[what] = true
		n.log.WarnContext(ctx, "a checkpoint counts for nothing: no known key has signed it", slog.String("anchor", a.String()), slog.Uint64("size", k.Size))
	}
}

// open reads a note that a key of ours, or one that the log names, has signed.
// Where there never was a key, nobody's signature is asked for.
func (n *notary) open(s *purgelog.Snapshot, note []byte) (proof.Checkpoint, error) {
	var verifiers []signed.Verifier
	names := map[string]bool{n.cfg.SigningKey.First.Public(): true, n.cfg.SigningKey.Second.Public(): true}
	for _, e := range s.Epochs {
		for _, k := range e.Keys {
			names[k.Key] = true
		}
	}
	for name := range names {
		if v, err := proof.OpenPublic(name); name != "" && err == nil {
			verifiers = append(verifiers, v)
		}
	}
	c, err := proof.OpenCheckpoint(note, verifiers...)
	if err == nil || len(verifiers) == 0 {
		return c, err
	}
	// From before the first key. Two keys never have the same name and hash.
	if c, plain := proof.OpenCheckpoint(note); plain == nil && !strings.Contains(string(note), "\n\n") {
		for _, e := range s.Epochs {
			if e.Origin == c.Origin && e.At(c.Size) == "" {
				return c, nil
			}
		}
	}
	return c, err
}
