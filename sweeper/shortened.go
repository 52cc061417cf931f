package sweeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// formers are the policies that categories ran under before. Each version is
// read once, however many categories ran under it.
type formers struct {
	timezone string

	mu   sync.Mutex
	read map[string]former
}

// former is a policy set that was in force, or why it cannot be read.
type former struct {
	set policy.Set
	err error
}

func newFormers(cfg Config) *formers {
	return &formers{timezone: cfg.Timezone, read: map[string]former{}}
}

// parseFormer reads the files of a version, by their paths.
func parseFormer(sources map[string]string, timezone string) (policy.Set, error) {
	var files []policy.File
	for path, source := range sources {
		files = append(files, policy.File{Path: path, Source: []byte(source)})
	}
	return policy.Parse(files, policy.Defaults{Timezone: timezone, AllowRawSQL: true, Former: true})
}

// pastRun is the last run of a category under a version of the policies.
type pastRun struct {
	category string
	version  string // SHA-256, in hex
	at       time.Time
	files    map[string]string // nil: the version is not stored
}

// formerSQL are the other versions that a category ran under, the newest first,
// from its last run that purged something on: that one had its windows approved,
// or needed no approval. Runs since then that found nothing to purge were never
// held up, so they have approved of nothing: a version stays here until rows
// went by a later one. Of a category by which no row went yet they are those of all
// others too: it may have had another name.
const formerSQL = `
	with past as (
	  select category, policy_sha256, state in ('succeeded', 'partial') as whole, started_at,
	         deleted + redacted + children + partitions_dropped > 0 as purged
	    from sweeper.runs where category = $1 and state in ('succeeded', 'partial', 'failed', 'stopped', 'paused')
	  union all
	  select category, policy_sha256, state in ('succeeded', 'partial'), started_at, deleted + redacted + children + partitions_dropped > 0
	    from sweeper.runs where category <> $1 and state in ('succeeded', 'partial', 'failed', 'stopped', 'paused')
	     and not exists (select from sweeper.runs where category = $1 and deleted + redacted + children + partitions_dropped > 0)),
	since as (select *, max(started_at) filter (where purged) over (partition by category) as last from past),
	versions as (
	  select category, policy_sha256, max(started_at) as at from since
	   where (purged or whole) and policy_sha256 <> $2 and started_at >= coalesce(last, '-infinity')
	   group by category, policy_sha256)
	select v.category, encode(v.policy_sha256, 'hex'), v.at,
	       case when row_number() over (partition by policy_sha256 order by v.at desc, v.category) = 1 then p.files end -- who reads one keeps it
	  from versions v left join sweeper.policy_versions p using (policy_sha256) order by v.at desc, v.category`

// shortened tells how rows go by a plan of a category that stayed when it, or one
// that may have been it, ran before; "" they do not.
func (f *formers) shortened(ctx context.Context, q purge.Querier, p *plan.Plan, c *plan.Category) (string, error) {
	rows, err := q.Query(ctx, formerSQL, c.Policy.Name, p.PolicySHA256[:])
	if err != nil {
		return "", pg.Wrap("read the former policies of category "+c.Policy.Name, err)
	}
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r pastRun, err error) {
		return r, row.Scan(&r.category, &r.version, &r.at, &r.files)
	})
	if err != nil {
		return "", pg.Wrap("read the former policies of category "+c.Policy.Name, err)
	}
	for _, r := range runs {
		if why := f.compare(r, c.Set(), &c.Policy); why != "" {
			return why, nil
		}
	}
	return "", nil
}

// compare tells how the windows of a category are shorter than in a past run, or
// those of others that kept its rows. What cannot be compared may be shorter.
func (f *formers) compare(r pastRun, now policy.Set, c *policy.Category) string {
	on := r.at.UTC().Format(time.DateOnly)
	set, err := f.parse(r)
	n := slices.IndexFunc(set.Categories, func(c policy.Category) bool { return c.Name == r.category })
	var all []string
	switch {
	case r.category != c.Name && (err != nil || n < 0 || !policy.Touches(c, &set.Categories[n])):
		return ""
	case err != nil:
		return fmt.Sprintf("policy version %.12s, under which it ran on %s, cannot be read any more, and its windows may have been longer: %s", r.version, on, headOf(err))
	case n < 0:
		return fmt.Sprintf("policy version %.12s, under which it ran on %s, does not have it, and its windows may have been longer", r.version, on)
	case r.category == c.Name:
		for _, s := range policy.Shortened(&set.Categories[n], c) {
			all = append(all, fmt.Sprintf("%s was %s when it ran on %s, and is %s now", s.Key, s.Was, on, s.Now))
		}
	}
	for _, s := range policy.Freed(set, now, c) {
		all = append(all, fmt.Sprintf("category %s kept rows of %s for %s on %s, and %s", s.Category, s.Table, s.Was, on, s.Now))
	}
	return strings.Join(all, "; ")
}

var errNotStored = errors.New("it is not stored")

// parse reads the policies of a past run.
func (f *formers) parse(r pastRun) (policy.Set, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.read[r.version]
	if !ok {
		if known.err = errNotStored; r.files != nil {
			known.set, known.err = parseFormer(r.files, f.timezone)
		}
		f.read[r.version] = known
	}
	return known.set, known.err
}
