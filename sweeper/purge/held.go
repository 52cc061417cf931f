package purge

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

const (
	mostBits   = 1 << 25 // of a set of held keys; it goes along with each batch
	leastBits  = 1 << 13
	bitsPerKey = 8  // at least, while there is room: of eight values one then has the bit of a key
	patience   = 20 // times what reading a set took pass before the next one is read
)

// heldKeys is the set of held keys that a run goes by, which spares its batches
// looking for the holds of each row. It is read without a lock, and without one it
// may be old: each statement compares its version with the one that is in force
// behind the fence, and looks the holds up where that is another. So no set that is
// old, or none, lets a held row go; it costs time.
type heldKeys struct {
	set atomic.Pointer[keySet] // nil: none yet

	reading sync.Mutex // held by the one that reads
	mu      sync.Mutex // guards what follows
	version string     // in force when a batch last looked
	next    time.Time  // when another set may be read
}

// keySet is what is known of the keys of one version.
type keySet struct {
	version string
	bits    []byte
}

// saw takes in the version that a batch found in force.
func (h *heldKeys) saw(version *string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.version = ""
	if version != nil {
		h.version = *version
	}
}

// wanting tells whether there is reason to read a set, and time to.
func (h *heldKeys) wanting(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := h.set.Load()
	return (set == nil || h.version != "" && h.version != set.version) && !now.Before(h.next)
}

// readKeys reads the set of held keys when there is none, or keys have come since.
// Of the connections of a run one reads, and the others do without meanwhile. That
// it cannot be read ends nothing.
func (r *run) readKeys(ctx context.Context, conn *pgx.Conn) {
	h := &r.keys
	if !h.wanting(r.Now()) || !h.reading.TryLock() {
		return
	}
	defer h.reading.Unlock()
	began := r.Now()
	set, err := r.keySet(ctx, conn)
	ended := r.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = ended.Add(patience * ended.Sub(began))
	if err != nil {
		if ctx.Err() == nil {
			h.next = ended.Add(patience * max(ended.Sub(began), time.Second))
			r.Log.WarnContext(ctx, "keys of holds not read, so batches look up those of each row", slog.String("policy", r.category.Policy.Name), slog.Any("err", err))
		}
		return
	}
	h.set.Store(set)
	h.version = set.version
}

func (r *run) keySet(ctx context.Context, conn *pgx.Conn) (*keySet, error) {
	const op = "read the keys of the holds"
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(undo)
	}()
	if _, err := tx.Exec(ctx, `select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`, milliseconds(r.LockTimeout), milliseconds(r.StatementTimeout)); err != nil {
		return nil, pg.Wrap(op, err)
	}
	q := plan.HeldKeys()
	rows, err := tx.Query(ctx, q.SQL, q.Args...)
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	set := &keySet{bits: make([]byte, mostBits/8)}
	var version *string
	var hash *int64
	keys := 0
	_, err = pgx.ForEachRow(rows, []any{&version, &hash}, func() error {
		switch {
		case version != nil:
			set.version = *version
		case hash != nil:
			set.add(*hash)
			keys++
		}
		return nil
	})
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	if set.shrink(max(leastBits, bitsPerKey*keys)); keys == 0 {
		set.bits = []byte{}
	}
	return set, nil
}

// add sets the bit of a key, as get_bit counts them.
func (s *keySet) add(hash int64) {
	bit := uint64(hash) & uint64(len(s.bits)*8-1)
	s.bits[bit/8] |= 1 << (bit % 8)
}

// shrink makes the set as short as a power of two can be with that many bits. The
// upper half falls onto the lower one, as the hashes do.
func (s *keySet) shrink(bits int) {
	for half := len(s.bits) / 2; half*8 >= bits; half /= 2 {
		for i, b := range s.bits[half:] {
			s.bits[i] |= b
		}
		s.bits = s.bits[:half]
	}
	s.bits = slices.Clone(s.bits) // and lets the rest go
}

// given are a query and its arguments with what is known of the held keys. Without a
// version in the database there is none.
func (r *run) given(q plan.Query) plan.Query {
	set := r.keys.set.Load()
	if set == nil || set.version == "" {
		return q
	}
	return q.With(set.version, set.bits)
}
