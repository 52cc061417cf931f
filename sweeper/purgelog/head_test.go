package purgelog_test

import (
	"errors"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
	"github.com/pgsweeper/sweeper/sweeper/purgelog"
)

// TestHeadOfSomebodyElseIsNotWrittenOver has somebody change the head between two
// entries. To write the next one over it would hide that; so nothing more is
// logged, also by who opens the log anew, until the head is what it was.
func TestHeadOfSomebodyElseIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"root":   `root = sha256('x')`,
		"hashes": `hashes = sha256('x')`,
		"chain":  `chain_hash = sha256('x')`,
		"size":   `size = size + 1`,
		"gone":   "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			log := b.open(t, begins)
			appended(t, log, committed(11, begins+0x100, deleted(1, 5)))
			flushed(t, log, begins+0x130)
			b.db.Exec(t, `create table public.kept as table sweeper.log_head`)
			const head = `coalesce((select md5(h::text) from sweeper.log_head h), 'none')`
			if change == "" {
				b.db.Exec(t, `delete from sweeper.log_head`)
			} else {
				b.db.Exec(t, `update sweeper.log_head set `+change)
			}
			changed := b.text(t, head)
			appended(t, log, committed(12, begins+0x200, deleted(6, 5)))
			if _, err := log.Flush(t.Context()); !errors.Is(err, purgelog.ErrBroken) {
				t.Errorf("got %v", err)
			}
			log.Close(t.Context())
			if name == "root" || name == "hashes" {
				pgtest.Eventually(t, "who opens it anew is refused", func() bool {
					_, err := b.try(t, "7", begins)
					return errors.Is(err, purgelog.ErrBroken)
				})
			}
			if got := b.text(t, head); got != changed {
				t.Error("the change was written over")
			}
			b.db.Exec(t, `delete from sweeper.log_head; insert into sweeper.log_head select * from public.kept`)
			log = b.open(t, begins)
			appended(t, log, committed(12, begins+0x200, deleted(6, 5)))
			flushed(t, log, begins+0x230)
			log.Close(t.Context())
			b.whole(t)
		})
	}
}
