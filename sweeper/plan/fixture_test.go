package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// asOf is when the tests that need no database judge.
var asOf = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// fixture is the catalogue that the sample policies are made for, as a server
// would show it, with the partitions of a few months only.
func fixture() *catalog.Catalog {
	applicants := table(1000, "kyc.applicants", []string{"id"},
		"id uuid", "workspace_id text", "status text", "full_name text", "email text", "phone text", "birth_date date",
		"relationship_ended_at timestamptz", "rejected_at timestamptz", "retention_status text")
	documents := table(2000, "kyc.documents", []string{"id"}, "id int8", "applicant_id uuid", "workspace_id text", "verified_at timestamptz")
	reviews := table(3000, "kyc.reviews", []string{"id"}, "id int8", "applicant_id uuid", "workspace_id text", "reviewed_at timestamptz")
	events := table(4000, "kyc.audit_events", []string{"id"}, "id int8", "workspace_id text", "logged_at timestamptz")
	sessions := table(5000, "public.sessions", []string{"id"}, "id uuid", "last_seen_at timestamptz")
	for _, t := range []*catalog.Table{documents, reviews} {
		applicants.Referencing = append(applicants.Referencing, catalog.ForeignKey{
			Constraint: t.Name.Relation + "_applicant_id_fkey", Table: t.Name, Root: t.Name, OnDelete: "a", Indexed: true,
			Columns: []string{"applicant_id"}, Parents: []string{"id"}, Equal: []string{"="}, Collate: []string{""},
		})
	}
	index(applicants, "relationship_ended_at")
	index(events, "logged_at")
	index(sessions, "last_seen_at")
	cat := &catalog.Catalog{Tables: map[catalog.Name]*catalog.Table{}}
	for _, t := range []*catalog.Table{applicants, documents, reviews, events, sessions, monthly(6000, "kyc.biometrics"), monthly(7000, "kyc.liveness")} {
		cat.Tables[t.Name] = t
	}
	return cat
}

// table makes a table of "name type" columns.
func table(oid uint32, name string, key []string, columns ...string) *catalog.Table {
	t := &catalog.Table{
		OID: oid, Text: name, Kind: catalog.KindTable, Persistence: "p", Owner: "owner", OwnerMember: true,
		Rows: 1000, PrimaryKey: key, Identity: catalog.IdentityDefault, Publications: []string{"sweeper", "sweeper_redact"},
	}
	t.Name.Schema, t.Name.Relation, _ = strings.Cut(name, ".")
	for i, c := range columns {
		name, base, _ := strings.Cut(c, " ")
		typ := map[string]string{"timestamptz": "timestamp with time zone", "int8": "bigint"}[base]
		if typ == "" {
			typ = base
		}
		t.Columns = append(t.Columns, catalog.Column{
			Name: name, Number: int16(i + 1), Type: typ, Exact: typ, Plain: typ, BaseType: typ, Base: base, TypeOID: types[base],
			Category: map[string]string{"text": "S", "timestamptz": "D", "date": "D"}[base],
			NotNull:  slices.Contains(key, name), Operators: "pg_catalog", Ordered: true,
			Textual: slices.Contains([]string{"uuid", "text", "int8"}, base),
		})
	}
	return t
}

var types = map[string]uint32{"uuid": 2950, "text": 25, "date": 1082, "timestamptz": 1184, "int8": 20}

func index(t *catalog.Table, column string) {
	t.Indexes = append(t.Indexes, catalog.Index{Name: column + "_idx", Method: "btree", Columns: []string{column}})
}

// monthly is a table with partitions around the as-of, and a default one.
func monthly(oid uint32, name string) *catalog.Table {
	t := table(oid, name, []string{"id", "captured_at"}, "id int8", "applicant_id uuid", "workspace_id text", "captured_at timestamptz")
	t.Kind, t.Strategy, t.PartitionKey = catalog.KindPartitioned, "r", []string{"captured_at"}
	for i, month := range []time.Month{1, 3} {
		leaf := catalog.Leaf{
			OID: oid + uint32(i) + 1, Direct: true, Kind: catalog.KindTable, Persistence: "p", OwnerMember: true,
			Identity: catalog.IdentityDefault, IdentityColumns: t.PrimaryKey,
			Text: fmt.Sprintf("%s_2026_%02d", name, month), Name: catalog.Name{Schema: t.Name.Schema, Relation: fmt.Sprintf("%s_2026_%02d", t.Name.Relation, month)},
			Lower: fmt.Sprintf("2026-%02d-01 00:00:00+00", month), Upper: fmt.Sprintf("2026-%02d-01 00:00:00+00", month+1),
		}
		t.Leaves = append(t.Leaves, leaf)
	}
	rest := t.Leaves[0]
	rest.OID, rest.Default, rest.Lower, rest.Upper = oid+9, true, "", ""
	rest.Text, rest.Name.Relation = name+"_default", t.Name.Relation+"_default"
	t.Leaves = append(t.Leaves, rest)
	return t
}
