package sweeper

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// tailEntries is how many of the log's last entries each look recomputes.
const tailEntries = 256

// serverFacts are those that need no schema of ours.
type serverFacts struct {
	Clock     time.Time
	Standby   bool
	Timeline  int
	SystemID  string
	Insert    uint64 // where the WAL ends
	Exists    bool   // the slot
	Usable    bool   // made for us in this database
	ReaderPID int
	Leader    bool // the reader is this process's
	WALStatus string
	Retained  int64
	Confirmed uint64
	Missing   *string // publications
	Writer    bool    // a session holds the log
	Writing   bool    // it has a transaction open and did something a moment ago
}

// serverSQL: the writer of the log is visible to its own role alone.
const serverSQL = `
select clock_timestamp(), pg_is_in_recovery(), ` + pg.TimelineSQL + `, (select system_identifier::text from pg_control_system()),
       case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end,
       s.slot_name is not null, coalesce(s.plugin = 'pgoutput' and s.database = current_database(), false), coalesce(s.active_pid, 0),
       coalesce((select application_name = $5 from pg_stat_activity where pid = s.active_pid), false), coalesce(s.wal_status, ''),
       coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.restart_lsn), 0)::bigint,
       coalesce(s.confirmed_flush_lsn, '0/0'),
       (select string_agg(p, ', ') from unnest($2::text[]) p where not exists (select from pg_publication where pubname = p)),
       w.pid is not null, coalesce(w.xact_start is not null and w.state_change > clock_timestamp() - interval '4 seconds', false)
  from (select) one
  left join pg_replication_slots s on s.slot_name = $1
  left join lateral (
    select a.pid, a.xact_start, a.state_change from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid = $3::int::oid and l.objid = $4::int::oid
       and l.database = (select oid from pg_database where datname = current_database())
     limit 1) w on true`

// logFacts are those of schema sweeper.
type logFacts struct {
	Version   *int
	LastAsOf  *time.Time // nil: the clock has passed it
	Stamp     int64      // the newest
	Logged    bool       // whether it is among the entries that were looked at
	Size      *int64
	ChainHash []byte
	Hashes    []byte
	Root      []byte
	SystemID  *string
	Applied   *uint64
	First     *int64 // of the entries that were looked at
	Count     int64
	Links     []byte // leaf_hash and chain_hash of each
	Bad       *int64 // the first whose fields give another leaf hash
	Gap       *string
	Pruned    int64 // entries that are gone from the beginning

	Mismatches   int64 // entries of that kind
	Gaps         int64
	Forks        int64
	LastMismatch *time.Time
}

const logSQL = `
select (select max(version) from sweeper.schema_version),
       (` + lastAsOfSQL + `),
       coalesce(b.batch_id, 0), coalesce(t.logged, false), h.size, h.chain_hash, h.hashes, h.root, p.system_id, p.applied_lsn, t.first, t.count, t.links, t.bad, t.gap,
       a.mismatches, a.gaps, (select count(*) from sweeper.purge_log where kind = 'fork'), a.last, (select coalesce(max(size), 0) from sweeper.log_prunes)
  from (select) one
  left join sweeper.log_head h on true
  left join lateral (
    select count(*) filter (where kind = 'mismatch') as mismatches, count(*) filter (where kind = 'gap') as gaps,
           max(logged_at) filter (where kind = 'mismatch') as last
      from sweeper.purge_log where kind in ('mismatch', 'gap')) a on true
  left join sweeper.log_progress p on p.slot = $1
  left join lateral (select batch_id, xid::text::bigint as xid from sweeper.batches where fact = 'stamp' order by batch_id desc limit 1) b on true
  left join lateral (
    select min(l.seq) as first, count(*) as count, string_agg(l.leaf_hash || l.chain_hash, ''::bytea order by l.seq, l.logged_at) as links,
           min(l.seq) filter (where sha256('\x00'::bytea || sweeper.leaf_bytes(l)) is distinct from l.leaf_hash) as bad,
           bool_or(l.xid = b.xid) as logged,
           max(l.reference) filter (where l.kind = 'gap' and l.seq = h.size - 1) as gap
      from sweeper.purge_log l
     where l.seq >= coalesce(h.size, (select max(seq) + 1 from sweeper.purge_log), 0) - $2::bigint) t on true`

// readServer and readLog read what the checks judge.
func readServer(ctx context.Context, conn *pgx.Conn, cfg Config, application string) (serverFacts, error) {
	var f serverFacts
	err := conn.QueryRow(ctx, serverSQL, cfg.Slot, cfg.publications(), pg.LockSpace, pg.LockLog, application).Scan(&f.Clock, &f.Standby, &f.Timeline, &f.SystemID, &f.Insert,
		&f.Exists, &f.Usable, &f.ReaderPID, &f.Leader, &f.WALStatus, &f.Retained, &f.Confirmed, &f.Missing, &f.Writer, &f.Writing)
	return f, pg.Wrap("look at server and slot", err)
}

func readLog(ctx context.Context, conn *pgx.Conn, cfg Config) (logFacts, error) {
	var f logFacts
	err := conn.QueryRow(ctx, logSQL, cfg.Slot, tailEntries).Scan(&f.Version, &f.LastAsOf, &f.Stamp, &f.Logged,
		&f.Size, &f.ChainHash, &f.Hashes, &f.Root, &f.SystemID, &f.Applied, &f.First, &f.Count, &f.Links, &f.Bad, &f.Gap, &f.Mismatches, &f.Gaps, &f.Forks, &f.LastMismatch, &f.Pruned)
	return f, pg.Wrap("read the purge log", err)
}

// alarmFor is how long a mismatch is an alarm. It stays in the log, and in the
// counts, for ever.
const alarmFor = 24 * time.Hour

func judgeMismatches(f serverFacts, l logFacts) string {
	if l.LastMismatch == nil || f.Clock.Sub(*l.LastMismatch) >= alarmFor {
		return ""
	}
	return fmt.Sprintf("the purge log has %d mismatch entries, the last of %s: what a run reported and what the write-ahead log showed differ; see what they say: select * from sweeper.purge_log where kind = 'mismatch'",
		l.Mismatches, l.LastMismatch.UTC().Format(time.RFC3339))
}

func judgeSlot(f serverFacts, l logFacts, cfg Config) string {
	switch {
	case f.Standby:
		return "the server is a standby, which can only be read; connect to the primary"
	case !f.Exists && l.Gap != nil:
		return fmt.Sprintf("slot %s does not exist (%s); run: sweeper install", cfg.Slot, *l.Gap)
	case !f.Exists:
		return fmt.Sprintf("slot %s does not exist; run: sweeper install", cfg.Slot)
	case f.Confirmed == 0:
		return fmt.Sprintf("slot %s is still being made: it waits for the transactions that were open before it", cfg.Slot)
	case f.WALStatus == "lost":
		return fmt.Sprintf("slot %s has lost WAL that it still needed; run: sweeper install", cfg.Slot)
	case !f.Usable:
		return fmt.Sprintf("slot %s belongs to another database or plugin; set SWEEPER_SLOT to another name and run: sweeper install", cfg.Slot)
	case tooMuch(cfg, f.Retained):
		return fmt.Sprintf("slot %s holds back %d bytes of WAL, more than SWEEPER_SLOT_LIMIT allows, and is given up", cfg.Slot, f.Retained)
	}
	return ""
}

// tooMuch tells whether a slot holds back more WAL than it may.
func tooMuch(cfg Config, retained int64) bool {
	return cfg.SlotLimit > 0 && retained > int64(cfg.SlotLimit)
}

func judgeSchema(l logFacts) string {
	if l.Version == nil {
		return "schema sweeper has no version; run: sweeper install"
	}
	if err := (server{schema: l.Version}).installed(roleLogger); err != nil {
		return err.Error()
	}
	return ""
}

// memory is what earlier looks saw of the log, on one timeline and up to a fork:
// the standby that begins the next timeline may lack the last entries, as
// notary.follow says, and a fork says of itself what it leaves behind.
type memory struct {
	line  int
	forks int64
	size  uint64
	tree  *proof.Tree // of the last whole log that was seen; nil: none
}

// judgeChain recomputes the end of the log: each entry's hash from its fields
// (the server did), the links between them, the head they lead to, the tree;
// and that the log has only grown since the last look.
func (m *memory) judgeChain(l logFacts, line int) string {
	if m.line != line || l.Forks > m.forks {
		*m = memory{line: line, forks: l.Forks}
	}
	if l.Size == nil {
		if l.Count > 0 {
			return "log_head has no row and the purge log has entries"
		}
		if m.tree != nil {
			return fmt.Sprintf("the purge log is empty and had %d entries", m.size)
		}
		return ""
	}
	size := *l.Size
	first := max(l.Pruned, size-tailEntries)
	switch {
	case l.Bad != nil:
		return fmt.Sprintf("entry %d differs from its leaf_hash; run: sweeper log verify", *l.Bad)
	case l.Count != size-first || l.Count > 0 && *l.First != first || len(l.Links) != int(l.Count)*64:
		return fmt.Sprintf("log_head counts %d entries and the purge log ends otherwise; run: sweeper log verify", size)
	}
	var last [32]byte
	for i := range l.Count {
		leaf, chain := l.Links[i*64:i*64+32], l.Links[i*64+32:i*64+64]
		want := proof.Chain(last, [32]byte(leaf))
		if (i > 0 || first == 0) && !bytes.Equal(want[:], chain) {
			return fmt.Sprintf("chain_hash of entry %d does not follow from the entry before; run: sweeper log verify", first+i)
		}
		last = [32]byte(chain)
	}
	if !bytes.Equal(last[:], l.ChainHash) {
		return "log_head.chain_hash is not that of the last entry; run: sweeper log verify"
	}
	tree, err := proof.ReadTree(uint64(size), l.Hashes)
	if err != nil {
		return "log_head.hashes are not the edge of a tree of its size; run: sweeper log verify"
	}
	if root := tree.Root(); !bytes.Equal(root[:], l.Root) {
		return "log_head.root does not follow from log_head.hashes; run: sweeper log verify"
	}
	return m.grown(tree, l, first)
}

// grown compares the tree with the one that was seen last, as far as the
// entries in between are at hand.
func (m *memory) grown(tree *proof.Tree, l logFacts, first int64) string {
	if m.tree != nil && tree.Size() < m.size {
		return fmt.Sprintf("the purge log has %d entries and had %d; run: sweeper log verify", tree.Size(), m.size)
	}
	if m.tree != nil && int64(m.size) >= first {
		old := m.tree.Clone()
		for i := int64(m.size) - first; i < l.Count; i++ {
			old.Append([32]byte(l.Links[i*64 : i*64+32]))
		}
		if old.Root() != tree.Root() {
			return "log_head.root does not follow from the one seen before and the entries since; run: sweeper log verify"
		}
	}
	m.size, m.tree = tree.Size(), tree
	return ""
}
