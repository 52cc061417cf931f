package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/policies"
)

// TestSchemaDescribesEveryKey holds that an editor has something to say about
// each key.
func TestSchemaDescribesEveryKey(t *testing.T) {
	t.Parallel()
	var schema any
	if err := json.Unmarshal(policies.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, v any, conditional bool)
	walk = func(path string, v any, conditional bool) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for k, inner := range m {
			if k == "properties" && !conditional {
				for name, p := range inner.(map[string]any) {
					if s, _ := p.(map[string]any)["description"].(string); s == "" {
						t.Errorf("%s/%s has no description", path, name)
					}
				}
			}
			walk(path+"/"+k, inner, conditional || k == "if" || k == "then")
		}
	}
	walk("", schema, false)
}

// wholeLanguage is the whole policy language; the schema knows all of it, though this
// version does not apply all.
const wholeLanguage = `
version: 1
timezone: UTC
controller: Example Ltd
categories:
  kyc_applicants:
    description: Applicants after the end of the business relationship
    notes: reviewed 2026-10
    basis: aml_eu
    override: {reason: "…", approver: "…"}
    table: kyc.applicants
    subject: id
    tenant: workspace_id
    where: [{column: status, op: in, value: [approved, closed]}]
    start_from: {event: relationship_end, column: relationship_ended_at}
    restrict: {after: P30D, columns: [email, phone]}
    redact:
      after: P90D
      columns:
        full_name: "null"
        email: {hmac: "redacted-%s@invalid"}
        birth_date: {truncate: year}
        phone: {mask: {keep_last: 2}}
        profile: {json: {"$.passport": remove, "$.notes": "null"}}
        selfie: zero
        iban: keep
      set: {retention_status: redacted}
    delete: {after: P5Y}
    children:
      - table: kyc.documents
        match: {applicant_id: id}
        on: delete
        action: delete
        objects: {column: object_key, bucket: documents}
      - {table: kyc.reviews, match: {applicant_id: id}, action: nullify}
    window: {min: P3M, max: P84M, allowed_days: []}
    lock: false
    partitions: drop
    manifest: count
    schedule: "0 3 * * *"
    notify: {before: P30D}
    review: none
    bulk_filter: [status, created_at]
    limits: {max_rows_per_run: 0, max_share: 0.2, rows_per_second: 0, max_dead_share: 0}
    evidence: batch
    mode: enforce
    enabled: true
  other:
    table: kyc.sessions
    start_from: {table: kyc.relationships, column: ended_at, match: {applicant_id: id}, pick: max}
    where_sql: "a = 1"
    delete: {after: unlimited}
    partitions: detach
    manifest: digest
    evidence: row
    review: required
    schedule: {every: 1h}
  third:
    table: kyc.epochs
    start_from: {column: at, unit: ms}
    delete: {after: 1 year 6 months}
`

// TestSchemaKnowsTheLanguage holds that the only complaints about the whole
// language are keys that this version does not apply, and that none of those goes
// by in silence.
func TestSchemaKnowsTheLanguage(t *testing.T) {
	t.Parallel()
	_, err := Parse([]File{{Path: "p.yaml", Source: []byte(wholeLanguage)}}, Defaults{AllowRawSQL: true})
	got := reasons(t, err)
	for _, line := range got {
		if !strings.HasSuffix(line, "is part of the policy language but this version does not apply it; remove it") {
			t.Error(line)
		}
	}
	for _, l := range later {
		word := l[strings.LastIndexByte(l, '.')+1:]
		if key, value, ok := strings.Cut(l, "="); ok {
			word = key + ": " + value
		}
		found := false
		for _, line := range got {
			found = found || strings.Contains(line, `"`+word+`"`)
		}
		if !found {
			t.Errorf("%s is not refused", l)
		}
	}
}
