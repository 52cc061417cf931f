package sweeper

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// foundSQL finds the entries with a commitment to the row, and counts those that
// have none. A commitment is as long as a hash, so that one which straddles two
// others is none.
const foundSQL = `
	select p.seq, p.kind, p.reason, p.category, p.committed_at, p.run_id
	  from sweeper.purge_log p
	 where p.relation = $1 and exists (select from sweeper.purge_rows r where r.seq = p.seq and position($2::bytea in r.commitments) % 32 = 1)
	 order by p.seq`

// logged searches the purge log for the row, by the commitment to its key.
func (e *explainer) logged(ctx context.Context, story *RowStory) error {
	columns := e.table.Key()
	casts := make([]string, len(columns))
	for i, name := range columns {
		col, _ := e.table.Column(name)
		casts[i] = fmt.Sprintf("$%d::text::%s::text", i+1, col.Type)
	}
	var texts []string
	if err := e.conn.QueryRow(ctx, "SELECT ARRAY["+strings.Join(casts, ", ")+"]", e.key()...).Scan(&texts); err != nil {
		return e.badKey(err)
	}
	err := e.conn.QueryRow(ctx, `select count(*) from sweeper.purge_log p where p.relation = $1 and p.kind in ('drop_partition', 'detach_partition', 'truncate')
		and not exists (select from sweeper.purge_rows r where r.seq = p.seq)`, e.table.Text).Scan(&story.Whole)
	if err != nil {
		return pg.Wrap("look at the purge log", err)
	}
	err = e.conn.QueryRow(ctx, `select coalesce(array_agg(distinct p.partition order by p.partition), '{}') from sweeper.purge_log p
		where p.relation = $1 and p.kind = 'detach_partition' and to_regclass(p.partition) is not null`, e.table.Text).Scan(&story.Detached)
	if err != nil {
		return pg.Wrap("look at the purge log", err)
	}
	for _, secret := range []Secret{e.cfg.HMACKey.First, e.cfg.HMACKey.Second} {
		key := secret.Bytes()
		if len(key) == 0 {
			continue // not given
		}
		story.Searched = true
		id := proof.AppendField(nil, []byte(e.table.Text))
		for i, name := range columns {
			id = proof.AppendField(proof.AppendField(id, []byte(name)), []byte(texts[i]))
		}
		commitment := proof.NewCommitter(key).Commit(id)
		rows, err := e.conn.Query(ctx, foundSQL, e.table.Text, commitment[:])
		if err != nil {
			return pg.Wrap("search the purge log", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Logged])
		if err != nil {
			return pg.Wrap("search the purge log", err)
		}
		story.Log = append(story.Log, found...)
	}
	return nil
}
