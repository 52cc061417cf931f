package sql_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// detaching has the policy say partitions: detach.
func (s *shots) detaching(t *testing.T, manifest string) {
	t.Helper()
	govern(t, s.admin, map[string]any{
		"category": "shots", "relation_name": "app.shots", "subject_column": "who", "tenant_column": "Tenant", "partitions": "detach", "manifest": manifest,
	})
}

// TestDetachPartition: the leaf stays where it is with its rows and its
// triggers, which a detachment does not pass by, and is no partition any more.
func TestDetachPartition(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	s.detaching(t, "count")
	exec(t, s.admin, `insert into app.shots (id, "Tenant", "At") values (1, 's', '2020-01-01'), (2, 'n', '2020-02-01'), (5, 's', '2025-01-01')`)
	exec(t, s.admin, `create function app.nothing() returns trigger language plpgsql as 'begin return null; end'`)
	exec(t, s.admin, `create trigger t after delete on app.old for each row execute function app.nothing()`)
	if n := pgtest.QueryOne[int](t, s.daemon, detachSQL, drop{}.args()...); n != 2 {
		t.Errorf("%d rows went, want 2", n)
	}
	if got := pgtest.QueryOne[string](t, s.admin, `select (`+leftSQL+`) || ' ' || (select string_agg(id::text, ',' order by id) from app.old)`); got != "app.young 1 2 1,2" {
		t.Errorf("left is %q", got)
	}
	facts := texts(t, s.admin, `select format('%s %s %s %s %s', fact, kind, relation, partition, row_count) from sweeper.batches where fact in ('stamp', 'report') order by batch_id`)
	if want := []string{"stamp detach_partition app.shots app.old ", "report detach_partition app.shots app.old 2"}; !slices.Equal(facts, want) {
		t.Errorf("got %q, want %q", facts, want)
	}
	refused(t, s.daemon, "SW003", detachSQL, drop{}.args()...)
	refused(t, s.daemon, "SW003", detachSQL, drop{leaf: "app.young"}.args()...)
}

// TestPartitionsGoAsThePolicySays: a caller cannot have a partition dropped that
// the policy detaches, nor another manifest than the policy's.
func TestPartitionsGoAsThePolicySays(t *testing.T) {
	t.Parallel()
	s := partitioned(t, "timestamptz")
	exec(t, s.admin, `insert into app.shots (id, "At") values (1, '2020-01-01')`)
	refused(t, s.daemon, "22023", detachSQL, drop{}.args()...)
	s.detaching(t, "count")
	s.stays(t, "drop where the policy detaches", "22023", drop{})
	refused(t, s.daemon, "22023", detachSQL, drop{manifest: "none"}.args()...)
	if err := refused(t, s.daemon, "22023", detachSQL, drop{manifest: "digest"}.args()...); !strings.Contains(err.Message, "detach_partition:") || !strings.Contains(err.Message, "manifest") {
		t.Errorf("got %q", err.Message)
	}
	s.detaching(t, "digest")
	if err := refused(t, s.daemon, "SW003", detachSQL, drop{manifest: "digest"}.args()...); !strings.Contains(err.Message, "no primary key") {
		t.Errorf("got %q", err.Message)
	}
	govern(t, s.admin, map[string]any{"category": "shots", "relation_name": "app.shots", "subject_column": "who", "tenant_column": "Tenant", "partitions": "rows"})
	s.stays(t, "drop where the policy goes by rows", "22023", drop{})
}
