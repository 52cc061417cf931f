package plan_test

import (
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/plan"
)

// TestLooksPersonal has names that are told by whole words, in every spelling,
// and names that have such a word in them and are something else.
func TestLooksPersonal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		base, names string
		want        bool
	}{
		{"text", `email Email emailAddress work_email e_mail phone home_phone2 name full_name fullName last_name maiden_name username street city zip_code postal_code
			address2 ip_address clientIP user_agent userAgent selfie_path face_template biometric_hash national_id tax_id taxID passport_no iban ssn gender geo lat lon
			password_hash api_token secret card_number pan device_id mother_maiden_name account_number MRZ_PHOTO`, true},
		{"date", "dob birth_date birthday date_of_birth", true},
		{"inet", "a last_seen", true},
		{"text", `file_name hostName table_name company_name event_name interface surface latency iris panel cardinality emaillist status id note email_count phone_type
			token_count password_required geometry facet scipio ziparchive`, false},
		{"bool", "email_verified has_phone name", false},
		{"timestamptz", "email_sent_at phone_confirmed name created", false},
	} {
		for _, name := range strings.Fields(c.names) {
			column := catalog.Column{Name: name, Base: c.base, Category: map[string]string{"text": "S", "date": "D", "timestamptz": "D", "bool": "B", "inet": "I"}[c.base]}
			if got := plan.LooksPersonal(column); got != c.want {
				t.Errorf("%s %s: %t", c.base, name, got)
			}
		}
	}
}
