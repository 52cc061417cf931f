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

	signed "golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/pgsweeper/sweeper/sweeper/anchor"
	"github.com/pgsweeper/sweeper/sweeper/proof"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// CheckpointAudit is what holding the log against its checkpoints found.
type CheckpointAudit struct {
	Checkpoints int // in the database
	Anchored    int // at the anchors
	Problems    []proof.Problem
	Warnings    []string
}

// readers is how many notes are read from an anchor at a time.
const readers = 8

// AuditCheckpoints holds the log against every checkpoint in the database and
// at the anchors: signature, by the pinned public key and those that the log
// says took over from it, and root. pinned "" is the configured one; with any
// other, a log of which no checkpoint bears its signature is a problem, because
// whoever writes a log anew leaves that out. An anchor that cannot be reached is
// an error beside what was found.
func AuditCheckpoints(ctx context.Context, cfg Config, log *slog.Logger, pinned string, now func() time.Time) (CheckpointAudit, error) {
	given := pinned != ""
	if !given {
		pinned = cfg.SigningKey.First.Public()
	} else if _, err := proof.OpenPublic(pinned); err != nil {
		return CheckpointAudit{}, &ConfigError{"--key", err.Error()}
	}
	conn, err := cfg.audit(ctx)
	if err != nil {
		return CheckpointAudit{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	n, err := newNotary(cfg, log, now, nil)
	if err != nil {
		return CheckpointAudit{}, err
	}
	// The anchors first: what comes to them later is in no snapshot yet.
	notes, origins, unreachable := n.collect(ctx)
	s, err := purgelog.Snap(ctx, conn)
	if err != nil {
		return CheckpointAudit{}, err
	}
	defer s.Close(ctx)
	a := &auditing{s: s, pinned: pinned, given: given, ids: map[string]bool{}}
	a.found.Anchored = len(notes)
	if err := a.run(ctx, notes, origins); err != nil {
		return a.found, err
	}
	return a.found, unreachable
}

// sheet is a note and where it was found.
type sheet struct {
	where  string // "" in the database
	origin string // that its name says
	size   uint64
	note   []byte
}

// collect reads every note of every log at every anchor.
func (n *notary) collect(ctx context.Context) (notes []sheet, origins map[string][]string, unreachable error) {
	origins = map[string][]string{}
	var mu sync.Mutex
	var errs []error
	for _, a := range n.anchors {
		all, err := a.Origins(ctx)
		origins[a.String()] = []string{}
		for _, origin := range all {
			origins[a.String()] = append(origins[a.String()], origin)
			var list []anchor.Kept
			if list, err = a.List(ctx, origin, 0); err != nil {
				break
			}
			group, reading := errgroup.WithContext(ctx)
			group.SetLimit(readers)
			for _, k := range list {
				group.Go(func() error {
					note, err := a.Read(reading, k)
					mu.Lock()
					defer mu.Unlock()
					notes = append(notes, sheet{a.String(), origin, k.Size, note})
					return err
				})
			}
			if err = group.Wait(); err != nil {
				break
			}
		}
		if err != nil {
			delete(origins, a.String()) // what it lacks is not known
			errs = append(errs, fmt.Errorf("%w: %w", ErrAnchorUnreachable, err))
		}
	}
	slices.SortFunc(notes, func(a, b sheet) int {
		return strings.Compare(fmt.Sprintf("%s %020d %s", a.where, a.size, a.note), fmt.Sprintf("%s %020d %s", b.where, b.size, b.note))
	})
	return notes, origins, errors.Join(errs...)
}

// auditing is one audit under way.
type auditing struct {
	s      *purgelog.Snapshot
	pinned string
	given  bool // pinned comes from whoever asks, and is not the configured one
	trees  map[uint64]*proof.Tree
	ids    map[string]bool // what was said
	found  CheckpointAudit
}

func (a *auditing) problem(size uint64, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !a.ids[text] {
		a.ids[text] = true
		a.found.Problems = append(a.found.Problems, proof.Problem{Seq: int64(size) - 1, Text: text})
	}
}

func (a *auditing) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !a.ids[text] {
		a.ids[text] = true
		a.found.Warnings = append(a.found.Warnings, text)
	}
}

func (a *auditing) run(ctx context.Context, notes []sheet, origins map[string][]string) error {
	rows, err := a.s.Checkpoints(ctx)
	if err != nil {
		return err
	}
	a.found.Checkpoints = len(rows)
	sheets := notes
	for _, r := range rows {
		sheets = append(sheets, sheet{"", r.Origin, r.Size, []byte(r.Note)})
	}
	var sizes []uint64
	for _, x := range sheets {
		sizes = append(sizes, x.size)
	}
	if a.trees, err = a.s.Trees(ctx, sizes); err != nil {
		return err
	}
	signedBy := a.keys(sheets)
	good := map[string]map[proof.Checkpoint]bool{} // by anchor: those that count
	vouched := map[string]bool{}                   // by origin
	for _, x := range sheets {
		if c, ok := a.one(x, signedBy); ok {
			vouched[c.Origin] = true
			if good[x.where] == nil {
				good[x.where] = map[proof.Checkpoint]bool{}
			}
			good[x.where][c] = true
		}
	}
	for _, e := range a.s.Epochs[min(1, len(a.s.Epochs)):] {
		if len(e.Keys) > 0 && !vouched[e.Origin] {
			a.problem(e.First+1, "entry %d says that the log was forked, and no key has signed that", e.First)
		}
	}
	if a.given {
		a.signature(sheets, signedBy)
	}
	for _, r := range rows {
		c, err := proof.OpenCheckpoint([]byte(r.Note))
		if err != nil || c.Origin != r.Origin || c.Size != r.Size || string(c.Root[:]) != string(r.Root) {
			a.problem(r.Size, "row %d of sweeper.checkpoints and its note differ", r.ID)
			continue
		}
		for _, where := range r.Anchors {
			if _, reached := origins[where]; reached && !good[where][c] {
				a.problem(r.Size, "%s held the checkpoint of %d entries and has it no more, or not as it was", where, r.Size)
			}
		}
	}
	return nil
}

// keys walks the keys of each origin from the pinned one. A key that took over
// counts when a checkpoint of a tree that has the change in it is signed by the
// one before, too; one from before the pinned key, because the tree that the
// pinned key signs names it.
func (a *auditing) keys(sheets []sheet) map[string]map[string]bool {
	trusted := map[string]map[string]bool{}
	for _, e := range a.s.Epochs {
		trusted[e.Origin] = map[string]bool{}
		if len(e.Keys) == 0 {
			if a.pinned != "" && (!a.given || e.End != ^uint64(0)) {
				a.warn("the log %s names no signing key", e.Origin)
			}
			continue
		}
		if a.pinned != "" && !e.Has(a.pinned) {
			why := fmt.Sprintf("the log %s was never signed with the key that it is verified with", e.Origin)
			if e.End == ^uint64(0) {
				a.problem(e.Keys[len(e.Keys)-1].From, "%s", why)
			} else {
				a.warn("%s; a fork ended it at entry %d", why, e.End)
			}
			continue
		}
		ours := a.pinned == ""
		for i, k := range e.Keys {
			switch {
			case k.Key == a.pinned, a.pinned == "", !ours:
				ours = ours || k.Key == a.pinned
			case !a.handedOver(sheets, e, e.Keys[i-1].Key, k):
				a.problem(k.From, "entry %d says that another signing key took over, and the one before has signed no checkpoint since", k.From-1)
				continue
			}
			trusted[e.Origin][k.Key] = true
		}
	}
	if a.pinned == "" && slices.ContainsFunc(a.s.Epochs, func(e proof.Epoch) bool { return len(e.Keys) > 0 }) {
		a.warn("no public key was given, so signatures were checked with the keys that the log itself names")
	}
	return trusted
}

// signature asks for one checkpoint of the log as it is now that the key it is
// verified with, or one that took over from that, has signed. The log itself may
// name no key any more, when its beginning was pruned.
func (a *auditing) signature(sheets []sheet, trusted map[string]map[string]bool) {
	e := a.s.Epoch()
	if e.Origin == "" || len(e.Keys) > 0 && !e.Has(a.pinned) { // not begun; said already
		return
	}
	verifiers := []signed.Verifier{}
	keys := maps.Clone(trusted[e.Origin])
	keys[a.pinned] = true
	for key := range keys {
		if v, err := proof.OpenPublic(key); err == nil {
			verifiers = append(verifiers, v)
		}
	}
	if slices.ContainsFunc(sheets, func(x sheet) bool {
		c, err := proof.OpenCheckpoint(x.note, verifiers...)
		return err == nil && c.Origin == e.Origin && a.trees[c.Size] != nil && a.trees[c.Size].Root() == c.Root
	}) {
		return
	}
	why := "no checkpoint of the log %s is signed with the key that it is verified with"
	if len(e.Keys) == 0 {
		why = "the log %s names no signing key, and no checkpoint of it is signed with the key that it is verified with"
	}
	a.problem(a.s.Size, why, e.Origin)
}

func (a *auditing) handedOver(sheets []sheet, e proof.Epoch, former string, k proof.KeySet) bool {
	verifier, err := proof.OpenPublic(former)
	return err == nil && slices.ContainsFunc(sheets, func(x sheet) bool {
		c, err := proof.OpenCheckpoint(x.note, verifier)
		return err == nil && c.Origin == e.Origin && c.Size >= k.From && a.trees[c.Size] != nil && a.trees[c.Size].Root() == c.Root
	})
}

// one judges one note, and tells whether it counts.
func (a *auditing) one(x sheet, trusted map[string]map[string]bool) (proof.Checkpoint, bool) {
	where := x.where
	if where == "" {
		where = "sweeper.checkpoints"
	}
	i := slices.IndexFunc(a.s.Epochs, func(e proof.Epoch) bool { return e.Origin == x.origin })
	if i < 0 {
		a.other(x, where)
		return proof.Checkpoint{}, false
	}
	e := a.s.Epochs[i]
	var verifiers []signed.Verifier
	key := e.At(x.size)
	if key != "" && trusted[e.Origin][key] {
		if v, err := proof.OpenPublic(key); err == nil {
			verifiers = append(verifiers, v)
		}
	}
	c, err := proof.OpenCheckpoint(x.note, verifiers...)
	switch {
	case err != nil || c.Origin != x.origin || c.Size != x.size:
		text := "a checkpoint of %d entries at %s counts for nothing: no key that is valid there has signed it"
		if x.where == "" {
			a.problem(x.size, text, x.size, where)
		} else {
			a.warn(text, x.size, where)
		}
		return c, false
	case x.size > e.End:
		a.warn("a checkpoint of %d entries at %s speaks of entries that the fork at entry %d left behind", x.size, where, e.End)
		return c, true
	case x.size > a.s.Size:
		a.problem(x.size, "%s holds a checkpoint of %d entries and the database has %d, as after a restore", where, x.size, a.s.Size)
	case x.size < a.s.Pruned().Size(): // what it says was held against the entries while they were there
	case a.trees[x.size] == nil || a.trees[x.size].Root() != c.Root:
		a.problem(x.size, "the first %d entries are others than in the checkpoint at %s", x.size, where)
	}
	return c, true
}

// other judges a note of a log that this one, as far as its entries show, never
// was.
func (a *auditing) other(x sheet, where string) {
	if a.s.Origins()[x.origin] {
		return // a fork names it
	}
	var verifiers []signed.Verifier
	if v, err := proof.OpenPublic(a.pinned); err == nil {
		verifiers = append(verifiers, v)
	}
	if _, err := proof.OpenCheckpoint(x.note, verifiers...); err != nil {
		a.warn("a checkpoint of %d entries at %s counts for nothing: no key that is valid there has signed it", x.size, where)
		return
	}
	a.problem(x.size, "%s holds checkpoints of log %s, which this database never was", where, x.origin)
}
