package purgelog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// watching is what the log knows of the tables that the publications name.
type watching struct {
	covered map[uint32]cover  // by oid, as sweeper.coverage has it
	told    map[string]uint64 // by table: the last note of a statement on its publications, by commit LSN
	waiting *sight            // seen, and not compared yet
}

// cover is how one table is witnessed.
type cover struct {
	relid     uint32
	relation  string
	published []string // publications with what they publish; none: it is not witnessed
	marks     []string // change when it is taken out and put back
	identity  string
	key       []string
}

// sight is one look at the catalogue. What differs from before is told once the
// log has come up to its end: until then the statement that did it may still
// come, as a stamp or as the note of an event trigger.
type sight struct {
	from, to uint64 // where the WAL ended before and after it
	covers   map[uint32]cover
	gone     []uint32 // partitions and tables that are known and not there
}

const (
	placeSQL = `select pg_current_wal_insert_lsn(), ` + pg.TimelineSQL

	// Row filters and column lists are columns of newer servers.
	coverSQL = `
		select c.oid, format('%I.%I', n.nspname, c.relname),
		       array_agg(format('%s (%s%s%s%s)', p.pubname,
		           array_to_string(array[case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
		               case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end], ', '),
		           case when p.pubviaroot then ', via root' else '' end,
		           case when to_jsonb(x) ->> 'prqual' is not null then ', rows by a filter' else '' end,
		           ', columns ' || (select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
		               where a.attrelid = c.oid and (to_jsonb(x) -> 'prattrs') @> to_jsonb(a.attnum))) order by p.pubname),
		       array_agg(x.oid::text order by p.pubname),
		       coalesce((
		         with recursive tree as (
		           select c.oid as relid, c.relkind, c.relreplident
		           union all
		           select d.oid, d.relkind, d.relreplident from tree t join pg_inherits i on i.inhparent = t.relid join pg_class d on d.oid = i.inhrelid and d.relispartition)
		         select string_agg(distinct t.relreplident::text, '' order by t.relreplident::text) from tree t where t.relkind <> 'p'), c.relreplident::text),
		       array(select a.attname::text from pg_index i cross join unnest(i.indkey::int[]) with ordinality k(attnum, pos)
		               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
		              where i.indrelid = c.oid and k.pos <= i.indnkeyatts
		                and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end
		              order by k.pos)
		  from pg_publication p
		  join pg_publication_rel x on x.prpubid = p.oid
		  join pg_class c on c.oid = x.prrelid
		  join pg_namespace n on n.oid = c.relnamespace
		 where p.pubname = any ($1)
		 group by c.oid, n.nspname, c.relname, c.relreplident`

	// The leaves that are new or have another name are remembered; of those that
	// are known, the ones that are no longer there are the answer. It reads
	// pg_inherits, since pg_partition_tree() would lock every partition.
	goneSQL = `
		with recursive root as (
		  select c.oid as relid, format('%I.%I', n.nspname, c.relname) as relation
		    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any ($1::oid[])),
		live as (
		  select r.relid, r.relation as root from root r
		  union all
		  select i.inhrelid, l.root from live l join pg_inherits i on i.inhparent = l.relid),
		named as (
		  select l.relid, format('%I.%I', n.nspname, c.relname) as relation, l.root
		    from live l join pg_class c on c.oid = l.relid join pg_namespace n on n.oid = c.relnamespace
		   where l.relid = any ($1::oid[]) or c.relispartition and c.relkind <> 'p'),
		kept as (
		  insert into sweeper.relations as x (relid, relation, root, key_columns)
		  select d.relid, d.relation, d.root, '{}' from named d
		   where not exists (select from sweeper.relations k where k.relid = d.relid and k.relation = d.relation and k.root = d.root and k.gone_lsn is null)
		  on conflict (relid) do update set relation = excluded.relation, root = excluded.root, seen_at = now(), gone_lsn = null)
		select k.relid from sweeper.relations k where k.gone_lsn is null and k.root = any ($2)
		except select l.relid from live l`
)

// Look reads what the publications name now. What has changed becomes an entry
// by Settle.
func (l *Log) Look(ctx context.Context) error {
	if len(l.o.Publications) == 0 || l.waiting != nil {
		return nil
	}
	l.relations.mu.Lock()
	defer l.relations.mu.Unlock()
	s := &sight{covers: map[uint32]cover{}}
	conn := l.relations.conn
	if err := conn.QueryRow(ctx, placeSQL).Scan(&s.from, nil); err != nil {
		return pg.Wrap("look at the publications", err)
	}
	rows, err := conn.Query(ctx, coverSQL, l.o.Publications)
	if err != nil {
		return pg.Wrap("look at the publications", err)
	}
	all, err := pgx.CollectRows(rows, scanCover)
	if err != nil {
		return pg.Wrap("look at the publications", err)
	}
	oids, roots := []uint32{}, []string{}
	for _, c := range all {
		s.covers[c.relid] = c
		oids, roots = append(oids, c.relid), append(roots, c.relation)
	}
	for _, c := range l.covered {
		if len(c.published) > 0 {
			roots = append(roots, c.relation)
		}
	}
	if rows, err = conn.Query(ctx, goneSQL, oids, roots); err != nil {
		return pg.Wrap("look for partitions that have gone", err)
	}
	if s.gone, err = pgx.CollectRows(rows, pgx.RowTo[uint32]); err != nil {
		return pg.Wrap("look for partitions that have gone", err)
	}
	if err := conn.QueryRow(ctx, placeSQL).Scan(&s.to, nil); err != nil {
		return pg.Wrap("look at the publications", err)
	}
	l.waiting = s
	return nil
}

func scanCover(row pgx.CollectableRow) (cover, error) {
	var c cover
	err := row.Scan(&c.relid, &c.relation, &c.published, &c.marks, &c.identity, &c.key)
	return c, err
}

// Settle says in the log what the last look and the last gap have left to say,
// when everything up to their end is in the log: position is where the reader
// stands, with everything before it made durable. Mostly there is nothing to do.
func (l *Log) Settle(ctx context.Context, position uint64) error {
	if l.tx != nil || !l.due(l.committed, position) {
		return nil
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	if err := l.settleUpTo(ctx, position); err != nil {
		return err
	}
	_, err := l.Flush(ctx)
	return err
}

// due tells whether something is left to be said of what lies before position.
func (l *Log) due(s state, position uint64) bool {
	if s.reconcile != nil && position >= s.reconcile.lsn {
		return true
	}
	if l.waiting == nil || position < l.waiting.to {
		return false
	}
	if l.differs(l.waiting) {
		return true
	}
	// Whoever opens the log next learns it with whatever is appended next.
	l.committed.looked, l.pending.looked, l.waiting = l.waiting.from, l.waiting.from, nil
	return false
}

// settleUpTo is Settle inside of the transaction that is open: everything that
// was committed before position has been appended.
func (l *Log) settleUpTo(ctx context.Context, position uint64) error {
	if r := l.pending.reconcile; r != nil && position >= r.lsn {
		if err := l.compare(ctx); err != nil {
			return err
		}
	}
	if l.waiting == nil || position < l.waiting.to {
		return nil
	}
	s := l.waiting
	l.waiting = nil
	return l.settle(ctx, s)
}

// differs tells whether a look has anything to say.
func (l *Log) differs(s *sight) bool {
	return len(s.gone) > 0 || !maps.EqualFunc(l.seen(), s.covers, cover.equal)
}

// seen are the tables that were witnessed at the last look.
func (l *Log) seen() map[uint32]cover {
	seen := map[uint32]cover{}
	for oid, c := range l.covered {
		if len(c.published) > 0 {
			seen[oid] = c
		}
	}
	return seen
}

func (c cover) equal(o cover) bool {
	return c.relation == o.relation && slices.Equal(c.published, o.published) && slices.Equal(c.marks, o.marks) && c.identity == o.identity && slices.Equal(c.key, o.key)
}

// settle appends the entries of a look.
func (l *Log) settle(ctx context.Context, s *sight) error {
	where := fmt.Sprintf("a place between LSN %s and LSN %s", lsnText(l.pending.looked), lsnText(s.to))
	before := l.seen()
	for _, oid := range slices.Sorted(maps.Keys(before)) {
		if _, there := s.covers[oid]; !there {
			c := before[oid]
			if !l.saidSince(c.relation) {
				if err := l.coverage(c.relation, "not witnessed any more from "+where+" on: no publication names it"); err != nil {
					return err
				}
			}
			c.published, c.marks = []string{}, []string{}
			if err := l.keepCover(ctx, c, s.to); err != nil {
				return err
			}
		}
	}
	inOrder := slices.SortedFunc(maps.Values(s.covers), func(a, b cover) int { return strings.Compare(a.relation, b.relation) })
	for _, c := range inOrder {
		old, known := before[c.relid]
		if known && old.equal(c) {
			continue
		}
		for _, sentence := range l.changes(old, c, known, where, s.to) {
			if err := l.coverage(c.relation, sentence); err != nil {
				return err
			}
		}
		if err := l.keepCover(ctx, c, s.to); err != nil {
			return err
		}
	}
	maps.DeleteFunc(l.told, func(_ string, lsn uint64) bool { return lsn <= s.to })
	if err := l.missed(ctx, s, where); err != nil {
		return err
	}
	l.pending.looked = s.from
	return nil
}

// changes are the sentences on a table that is witnessed otherwise than before,
// or for the first time.
func (l *Log) changes(old, c cover, known bool, where string, at uint64) []string {
	published, names := strings.Join(c.published, " and "), "("+strings.Join(c.key, ", ")+")"
	told := l.saidSince(c.relation)
	var all []string
	switch {
	case !known && told:
	case !known && l.pending.looked == 0:
		return []string{fmt.Sprintf("witnessed from LSN %s on: published by %s; its rows are named by %s", lsnText(at), published, names)}
	case !known:
		return []string{fmt.Sprintf("witnessed from %s on: published by %s; its rows are named by %s", where, published, names)}
	case !slices.Equal(old.published, c.published) && !told:
		all = append(all, fmt.Sprintf("witnessed otherwise from %s on: published by %s, and before by %s", where, published, strings.Join(old.published, " and ")))
	case !slices.Equal(old.marks, c.marks) && !told:
		all = append(all, fmt.Sprintf("taken out of a publication and put back at %s: what was committed in between may not be witnessed", where))
	}
	if known && old.relation != c.relation {
		all = append(all, fmt.Sprintf("called %s until %s", old.relation, where))
	}
	if known && (old.identity != c.identity || !slices.Equal(old.key, c.key)) {
		all = append(all, fmt.Sprintf("its rows are named otherwise from %s on: by %s with replica identity %s, and before by (%s) with replica identity %s",
			where, names, identities(c.identity), strings.Join(old.key, ", "), identities(old.identity)))
	}
	return all
}

// identities writes the letters of pg_class.relreplident out.
func identities(letters string) string {
	words := map[rune]string{'d': "DEFAULT", 'i': "INDEX", 'f': "FULL", 'n': "NOTHING"}
	var all []string
	for _, letter := range letters {
		all = append(all, cmp.Or(words[letter], string(letter)))
	}
	return strings.Join(all, " or ")
}

// told notes that the statement behind a change has told of itself.
func (a *appending) told(s *stamp) {
	a.Log.told[value(s.relation)] = a.tx.CommitLSN
}

// saidSince tells whether, since the last look, a statement on the table's
// publications has told of itself, with its own LSN.
func (l *Log) saidSince(relation string) bool {
	lsn, ok := l.told[relation]
	return ok && lsn >= l.pending.looked
}

func (l *Log) coverage(relation, sentence string) error {
	e := proof.Entry{Kind: "coverage", CommitLSN: l.pending.applied, Reference: &sentence}
	if relation != "" {
		e.Relation = &relation
	}
	return l.append(e)
}

// keepCover writes down what was said, along with the entry that says it.
func (l *Log) keepCover(ctx context.Context, c cover, at uint64) error {
	l.covered[c.relid] = c
	_, err := l.tx.Exec(ctx, `
		insert into sweeper.coverage as c (source, relid, relation, published, marks, identity, key_columns, seen_lsn) values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (source, relid) do update set relation = excluded.relation, published = excluded.published, marks = excluded.marks,
		       identity = excluded.identity, key_columns = excluded.key_columns, seen_lsn = excluded.seen_lsn`,
		l.source, c.relid, c.relation, c.published, c.marks, c.identity, c.key, at)
	return pg.Wrap("keep what the log witnesses", err)
}

// missed appends what has gone without a word: partitions and tables that are
// known, are no longer there, and of which neither a stamp nor the note of an
// event trigger came through the write-ahead log.
func (l *Log) missed(ctx context.Context, s *sight, where string) error {
	if len(s.gone) == 0 {
		return nil
	}
	if l.pending.looked == 0 { // before the log looked for the first time
		_, err := l.tx.Exec(ctx, `update sweeper.relations set gone_lsn = $2 where relid = any ($1::oid[]) and gone_lsn is null`, s.gone, s.to)
		return pg.Wrap("remember which partitions have gone", err)
	}
	if err := l.write(ctx); err != nil { // marks those that the log knows
		return err
	}
	rows, err := l.tx.Query(ctx, `select relation, root, exists (select from pg_class c where c.oid = k.relid) from sweeper.relations k
		where relid = any ($1::oid[]) and gone_lsn is null and not exists (select from pg_inherits i where i.inhrelid = k.relid) order by relation`, s.gone)
	if err != nil {
		return pg.Wrap("look for partitions that have gone", err)
	}
	var leaf, root string
	var detached bool
	_, err = pgx.ForEachRow(rows, []any{&leaf, &root, &detached}, func() error {
		if detached && leaf == root {
			return nil // a table that no publication names any more
		}
		kind, what := "drop_partition", "dropped"
		if detached {
			kind, what = "detach_partition", "detached"
		}
		a := &appending{Log: l}
		e := a.unattributed(kind, relation{leaf: strings.Clone(leaf), root: strings.Clone(root)})
		e.CommitLSN, e.CommittedAt, e.XID = l.pending.applied, nil, nil
		e.Reference = text(fmt.Sprintf("%s by somebody else at %s: found by comparison with the catalogue", what, where))
		return l.append(e)
	})
	return pg.Wrap("look for partitions that have gone", err)
}

// markGone remembers of the partitions that pending entries say have gone that
// the log knows. One that has come again under its name is another.
func (l *Log) markGone(ctx context.Context) error {
	var names []string
	for i := range l.entries {
		if e := &l.entries[i]; e.Kind == "drop_partition" || e.Kind == "detach_partition" {
			names = append(names, cmp.Or(value(e.Partition), value(e.Relation)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, err := l.tx.Exec(ctx, `update sweeper.relations k set gone_lsn = $2 where k.relation = any ($1) and k.gone_lsn is null
		and not exists (select from pg_inherits i where i.inhrelid = k.relid)`, names, l.pending.applied)
	return pg.Wrap("remember which partitions have gone", err)
}

// loadCoverage reads what the log said last of what it witnesses.
func (l *Log) loadCoverage(ctx context.Context) error {
	l.covered, l.told = map[uint32]cover{}, map[string]uint64{}
	rows, err := l.conn.Query(ctx, `select relid, relation, published, marks, identity, key_columns from sweeper.coverage where source = $1`, l.source)
	if err != nil {
		return pg.Wrap("read what the log witnesses", err)
	}
	all, err := pgx.CollectRows(rows, scanCover)
	for _, c := range all {
		l.covered[c.relid] = c
	}
	return pg.Wrap("read what the log witnesses", err)
}

// watch looks for the first time since the log was opened. What it witnesses at
// its very beginning is said at once.
func (l *Log) watch(ctx context.Context) error {
	if len(l.o.Publications) == 0 {
		return nil
	}
	if err := l.Look(ctx); err != nil {
		return err
	}
	if l.committed.looked != 0 {
		return nil
	}
	s := l.waiting
	l.waiting = nil
	if err := l.begin(ctx); err != nil {
		return err
	}
	if err := l.settle(ctx, s); err != nil {
		return err
	}
	_, err := l.Flush(ctx)
	return err
}

// follow says in the log that the server goes on with another timeline, as it
// does after a standby was promoted.
func (l *Log) follow(ctx context.Context, timeline int) error {
	was := l.committed.timeline
	if was == timeline {
		return nil
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	l.pending.timeline = timeline
	if was != 0 {
		ends := "at an LSN that is not known"
		if l.o.Switch != nil {
			lsn, err := l.o.Switch(ctx, was, timeline)
			if err != nil {
				return err
			}
			if lsn != 0 {
				ends = "at LSN " + lsnText(lsn)
				if l.pending.applied > lsn {
					ends += fmt.Sprintf(", which the log had passed: it has what was committed up to LSN %s on the one before", lsnText(l.pending.applied))
				}
			}
		}
		if err := l.coverage("", fmt.Sprintf("the server has gone over from timeline %d to timeline %d, which begins %s", was, timeline, ends)); err != nil {
			return err
		}
	}
	_, err := l.Flush(ctx)
	return err
}
