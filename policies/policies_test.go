package policies_test

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/policies"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

// TestEverySampleLoads holds that each file works alone and names the schema for
// an editor.
func TestEverySampleLoads(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(policies.FS, "*.yaml")
	if err != nil || len(names) < 2 {
		t.Fatalf("samples %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := policies.FS.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			schema := "policy"
			if name == "regulations.yaml" {
				schema = "regulations"
			}
			if !strings.HasPrefix(string(source), "# yaml-language-server: $schema=./"+schema+".schema.json\n") {
				t.Error("the first line does not name the schema")
			}
			if name == "regulations.yaml" {
				return // no policy; the loader passes it over in a folder
			}
			set, err := policy.Parse([]policy.File{{Path: path.Join("policies", name), Source: source}}, policy.Defaults{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range set.Categories {
				if name == "kyc.yaml" && c.Basis == "" {
					t.Errorf("%s has no basis", c.Name)
				}
			}
			if warnings := set.Warnings(); len(warnings) > 0 {
				t.Errorf("a sample that people start from has warnings: %v", warnings)
			}
			if err := set.Applicable(); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := policy.Load(policy.Defaults{}, "."); err != nil {
		t.Errorf("all samples together: %v", err)
	}
}

// TestKYC holds the windows that the sample set promises.
func TestKYC(t *testing.T) {
	t.Parallel()
	set, err := policy.Load(policy.Defaults{}, "kyc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, c := range set.Categories {
		got[c.Name] = c.Table + " " + c.Start.Event + " " + c.Start.Column + " " + c.Delete.String()
	}
	want := map[string]string{
		"approved_applicants": "kyc.applicants relationship_end relationship_ended_at P5Y",
		"rejected_applicants": "kyc.applicants rejection_date rejected_at P90D",
		"document_images":     "kyc.documents verification_date verified_at P5Y",
		"biometric_data":      "kyc.biometrics capture_date captured_at P30D",
		"liveness":            "kyc.liveness capture_date captured_at P7D",
		"case_reviews":        "kyc.reviews review_date reviewed_at P5Y",
		"audit_logs":          "kyc.audit_events log_date logged_at P7Y",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
