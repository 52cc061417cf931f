package sweeper_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// sample is a policy set that ships, with what must hold of its own schema's
// rows. A check is a query that finds no row: before a sweep nothing is said,
// after it all of them are asked. Counts are those of rows that must have gone.
type sample struct {
	name   string
	after  string // SQL after the installation
	gone   map[string]string
	checks map[string]string
}

var samples = []sample{
	{
		name: "saas",
		gone: map[string]string{
			"closed_accounts": `select count(*) from app.accounts a where (select bool_and(ended_at is not null) and max(timezone('Europe/Berlin', timezone('Europe/Berlin', ended_at) + interval '1 year')) <= now()
				from app.subscriptions s where s.account_id = a.id)`,
			"ended_sessions":   `select count(*) from app.sessions where timezone('Europe/Berlin', timezone('Europe/Berlin', to_timestamp(expires_at_ms / 1000.0)) + interval '30 days') <= now()`,
			"sign_ins":         `select count(*) from app.sign_ins where timezone('Europe/Berlin', timezone('Europe/Berlin', at) + interval '6 months') <= now()`,
			"open_invitations": `select count(*) from app.invitations where accepted_at is null and timezone('Europe/Berlin', timezone('Europe/Berlin', sent_at) + interval '30 days') <= now()`,
			"tickets":          `select count(*) from app.tickets where timezone('Europe/Berlin', (closed_on + 1)::timestamp + interval '2 years') <= now()`,
		},
		checks: map[string]string{
			"redacted accounts": `select id::text from app.accounts a join lateral (select bool_and(ended_at is not null) ended, max(ended_at) last from app.subscriptions s where s.account_id = a.id) s on s.ended
				where last + interval '31 days' <= now() and not (state = 'redacted' and email like 'closed-%@invalid' and full_name is null and phone like '%***%' and length(phone) > 8 and phone !~ '^\+'
				  and extract(doy from birth_date) = 1 and not profile ? 'address' and profile ->> 'nickname' is null and profile ? 'nickname' and not profile #> '{contacts,0}' ? 'email' and profile #>> '{contacts,0,kind}' = 'work'
				  and avatar = decode(repeat('00', 64), 'hex') and last_ip = '0.0.0.0')`,
			"accounts in use":   `select id::text from app.accounts a where exists (select from app.subscriptions s where s.account_id = a.id and (ended_at is null or ended_at + interval '29 days' > now())) and state <> 'active'`,
			"taken invitations": `select 'gone' where (select count(*) from app.invitations where accepted_at is not null) <> 133`,
			"redacted tickets":  `select id::text from app.tickets where closed_on + interval '7 months' <= now() and not (requester_email is null and body = '(removed)' and attachments = '{}')`,
		},
	},
	{
		name:  "audit",
		after: `select sweeper.set_tenant_retention('workspace_events', 'ws-1', '6 months', 'jane', 'contract'); select sweeper.set_tenant_retention('workspace_events', 'ws-2', '84 months', 'jane', 'contract')`,
		gone: map[string]string{
			"workspace_events": `select count(*) from audit.events where timezone('UTC', timezone('UTC', occurred_at) + case workspace_id when 'ws-1' then interval '6 months' when 'ws-2' then interval '84 months' else interval '24 months' end) <= now()`,
			"api_requests":     `select count(*) from audit.api_requests where timestamptz 'epoch' + at_us * interval '1 microsecond' + interval '365 days' <= now()`,
			"admin_actions":    `select count(*) from audit.admin_actions where timezone('UTC', (logged_on + 1)::timestamp + interval '7 years') <= now()`,
		},
		checks: map[string]string{
			"redacted events":    `select id::text from audit.events where occurred_at + interval '94 days' <= now() and not (ip_address = '0.0.0.0' and user_agent is null)`,
			"events too young":   `select id::text from audit.events where occurred_at + interval '88 days' > now() and (ip_address = '0.0.0.0' or user_agent is null)`,
			"requests, no start": `select 'gone' where (select count(*) from audit.api_requests where at_us is null) <> 41`,
		},
	},
}

// TestSamples lints, plans and executes each set that ships against a schema of
// its own.
func TestSamples(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			ddl, err := os.ReadFile(filepath.Join("..", "policies", "testdata", s.name+".sql"))
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(filepath.Join("..", "policies", s.name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			b := setup(t, string(ddl), string(source))
			if s.after != "" {
				b.db.Exec(t, s.after)
			}
			warnings, err := sweeper.Lint(t.Context(), b.cfg, b.set)
			if err != nil {
				t.Fatalf("lint: %v", err)
			}
			for _, w := range warnings {
				t.Errorf("lint warns: %s", w)
			}
			due := map[string]string{}
			for category, count := range s.gone {
				due[category] = b.text(t, count)
				if due[category] == "0" {
					t.Errorf("the schema has nothing due for %s", category)
				}
			}
			preview, err := sweeper.Plan(t.Context(), b.cfg, b.set, time.Time{}, "")
			if err != nil {
				t.Fatalf("plan: %v", err)
			}
			if len(preview.States) != len(b.set.Categories) {
				t.Errorf("the plan has %d categories of %d", len(preview.States), len(b.set.Categories))
			}
			for category, o := range b.sweep(t) {
				if o.State != purge.Succeeded || o.Remaining != 0 {
					t.Errorf("%s: %+v", category, o)
				}
				logged := b.text(t, `select coalesce(sum(row_count), 0) from sweeper.purge_log where kind in ('delete', 'drop_partition') and category = '`+category+`'`)
				if want, known := due[category]; known && (logged != want || b.text(t, s.gone[category]) != "0") {
					t.Errorf("%s: %s rows were due, the log has %s, %s are left", category, want, logged, b.text(t, s.gone[category]))
				}
			}
			for what, query := range s.checks {
				if bad := b.text(t, `select count(*) from (`+query+`) bad`); bad != "0" {
					t.Errorf("%s: %s rows are not as they should be", what, bad)
				}
			}
			for category, o := range b.sweep(t) {
				if o.State != purge.Succeeded || o.Deleted > 1 || o.Redacted > 1 { // the clock may have made one more due
					t.Errorf("a second sweep of %s: %+v", category, o)
				}
			}
		})
	}
}
