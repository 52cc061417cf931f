package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/policies"
)

// TestRegulations holds the periods that the catalogue promises, and that each
// entry says where to read it.
func TestRegulations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ id, event, minimum, maximum string }{
		{"aml_us_bsa", "relationship_end", "P5Y", ""},
		{"aml_eu", "relationship_end", "P5Y", "P10Y"},
		{"uk_mlr", "relationship_end", "P5Y", ""},
		{"sox", "audit_end", "P7Y", ""},
		{"mifid2", "record_date", "P5Y", ""},
		{"hipaa", "record_date", "P6Y", ""},
		{"sec_17a4", "communication_date", "P3Y", ""},
		{"sec_17a4", "record_date", "P6Y", ""},
		{"pci_dss", "log_date", "P12M", ""},
		{"hgb_de", "calendar_year_end", "P10Y", ""},
		{"hgb_de_vouchers", "calendar_year_end", "P8Y", ""},
		{"hgb_de_letters", "calendar_year_end", "P6Y", ""},
		{"ao_de", "calendar_year_end", "P10Y", ""},
		{"bipa", "last_interaction", "", "P3Y"},
		{"gdpr", "", "", ""},
		{"ccpa", "", "", ""},
		{"legitimate_interest", "rejection_date", "", ""},
		// Not an event of it: the strictest counts.
		{"sec_17a4", "", "P6Y", ""},
		{"bipa", "sign_up", "", "P3Y"},
	} {
		law, ok := FindRegulation(tt.id)
		if !ok {
			t.Errorf("%s is unknown", tt.id)
			continue
		}
		if got := texts(law.Minimum(tt.event)); got != tt.minimum {
			t.Errorf("minimum of %s from %q: %q, want %q", tt.id, tt.event, got, tt.minimum)
		}
		if got := texts(law.Maximum(tt.event)); got != tt.maximum {
			t.Errorf("maximum of %s from %q: %q, want %q", tt.id, tt.event, got, tt.maximum)
		}
	}
	all := Regulations()
	if !slices.IsSortedFunc(all, func(a, b Regulation) int { return strings.Compare(a.ID, b.ID) }) || len(all) < 20 {
		t.Errorf("%d regulations, sorted by id?", len(all))
	}
	for _, law := range all {
		if law.Name == "" || law.Citation == "" || law.Jurisdiction == "" || law.Kind == "" || !strings.HasPrefix(law.Source, "https://") {
			t.Errorf("incomplete: %+v", law)
		}
		for _, term := range law.Events {
			if term.Minimum == nil && term.Maximum == nil {
				t.Errorf("%s gives no period from %s", law.ID, term.Event)
			}
			if term.Minimum != nil && term.Maximum != nil {
				if _, over := exceeds(*term.Minimum, *term.Maximum); over {
					t.Errorf("%s: nothing is lawful from %s", law.ID, term.Event)
				}
			}
		}
	}
	if _, ok := FindRegulation("aml"); ok {
		t.Error("half an id is found")
	}
	if !strings.Contains(string(policies.Regulations), "no legal advice") || !strings.Contains(string(policies.Regulations), "compiled: 20") {
		t.Error("the file does not say that it is no legal advice, and from when it is")
	}
}

func texts(p *Period) string {
	if p == nil {
		return ""
	}
	return p.String()
}

// TestStatutoryMinimum holds what an erasure asks: how long a row has to stay.
func TestStatutoryMinimum(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		startingFrom("{column: at, event: relationship_end}", "delete: {after: P6Y}", "basis: aml_eu"): "P5Y",
		startingFrom("{column: at, event: record_date}", "delete: {after: P6Y}", "basis: sec_17a4"):    "P6Y",
		category("delete: {after: P6Y}", "basis: sec_17a4"):                                            "P6Y",
		category("delete: {after: P6Y}", "basis: gdpr"):                                                "",
		category("delete: {after: P6Y}", "basis: five years by law"):                                   "",
		category("delete: {after: P6Y}"):                                                               "",
	} {
		if got := texts(parsed(t, "p.yaml", source).Categories[0].StatutoryMinimum()); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

// TestSlipsOfRegulations holds which words are taken for a slip of an id.
func TestSlipsOfRegulations(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"aml_ue": "aml_eu", "AML_EU": "aml_eu", "aml-eu": "aml_eu", "aml_us": "aml_us_bsa", "gdrp": "gdpr", "hippa": "hipaa", "hgb": "hgb_de", "mifid": "mifid2",
		"legitimate_interests": "legitimate_interest", "data_minimisation": "data_minimization",
		"tax": "", "law": "", "internal_rule_7": "", "aml_regulation": "",
	} {
		if got := nearestRegulation(word); got != want {
			t.Errorf("nearestRegulation(%q) = %q, want %q", word, got, want)
		}
	}
}
