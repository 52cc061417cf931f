package proof_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

func ptr[T any](v T) *T { return &v }

// full returns an entry with every field set.
func full() *proof.Entry {
	return &proof.Entry{
		Seq: 7, LoggedAt: time.Date(2026, 11, 22, 1, 15, 0, 123456000, time.UTC),
		CommittedAt: ptr(time.Date(2026, 11, 22, 1, 14, 59, 0, time.UTC)), CommitLSN: 0x16B374D848, XID: ptr(int64(771)),
		Source: "7442136490001234567/sweeper", Kind: "delete", Reason: ptr("retention_cron"), Category: ptr("kyc_applicants"),
		Relation: ptr("kyc.applicants"), Partition: ptr("kyc.applicants_2019"), Tenant: ptr("workspace"),
		SubjectDigest: []byte("subject"), Cutoff: ptr(time.Date(2021, 11, 22, 0, 0, 0, 0, time.UTC)), Basis: ptr("aml_eu"),
		Actor: ptr("sweeper"), Reference: ptr("TICKET-1"), RequestID: &[16]byte{1, 2, 3}, RunID: &[16]byte{4, 5, 6},
		PolicySHA256: []byte("policy"), RowCount: ptr(int64(10000)), Columns: []string{"full_name", "email"},
		ObjectsRemoved: ptr(int64(3)), RowsRoot: []byte("root"),
	}
}

// variants returns, for the field of an entry, other values that it may have:
// NULL, empty, and others.
func variants(field reflect.StructField) []any {
	switch field.Type {
	case reflect.TypeFor[int64]():
		return []any{int64(0), int64(-7), int64(8)}
	case reflect.TypeFor[uint64]():
		return []any{uint64(0), uint64(0x16B374D849), uint64(1) << 63}
	case reflect.TypeFor[time.Time]():
		return []any{time.Time{}, time.Date(2026, 11, 22, 1, 15, 0, 123457000, time.UTC)}
	case reflect.TypeFor[string]():
		return []any{"", "delete ", "Delete"}
	case reflect.TypeFor[*int64]():
		return []any{(*int64)(nil), ptr(int64(0)), ptr(int64(-1))}
	case reflect.TypeFor[*time.Time]():
		return []any{(*time.Time)(nil), &time.Time{}, ptr(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), ptr(time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC))}
	case reflect.TypeFor[*string]():
		return []any{(*string)(nil), ptr(""), ptr("\x00"), ptr("other")}
	case reflect.TypeFor[*[16]byte]():
		return []any{(*[16]byte)(nil), &[16]byte{}, &[16]byte{9}}
	case reflect.TypeFor[[]byte]():
		return []any{[]byte(nil), []byte{}, []byte{0}, []byte("other")}
	case reflect.TypeFor[[]string]():
		return []any{[]string(nil), []string{}, []string{""}, []string{"", ""}, []string{"full_nameemail"}, []string{"email", "full_name"}}
	}
	panic("no variants for " + field.Type.String())
}

func TestLeafChangesWithEachField(t *testing.T) {
	t.Parallel()
	seen := map[string]string{mustLeaf(t, full()): "full"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[proof.Entry]()) {
		if field.Name == "LeafHash" || field.Name == "ChainHash" {
			continue
		}
		for _, v := range variants(field) {
			e := full()
			reflect.ValueOf(e).Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(v))
			name := fmt.Sprintf("%s = %#v", field.Name, v)
			leaf := mustLeaf(t, e)
			if other, ok := seen[leaf]; ok {
				t.Errorf("%s has the leaf of %s", name, other)
			}
			seen[leaf] = name
		}
	}
}

func TestLeafIgnoresTheHashes(t *testing.T) {
	t.Parallel()
	e := full()
	e.LeafHash, e.ChainHash = []byte("leaf"), []byte("chain")
	if mustLeaf(t, e) != mustLeaf(t, full()) {
		t.Error("the leaf depends on leaf_hash or chain_hash")
	}
}

// TestLeafKeepsFieldsApart moves bytes from the end of a text to the start of
// the next one, whether it may be NULL or not.
func TestLeafKeepsFieldsApart(t *testing.T) {
	t.Parallel()
	texts := []func(e *proof.Entry, s string){
		func(e *proof.Entry, s string) { e.Source = s },
		func(e *proof.Entry, s string) { e.Kind = s },
		func(e *proof.Entry, s string) { e.Reason = &s },
		func(e *proof.Entry, s string) { e.Category = &s },
		func(e *proof.Entry, s string) { e.Relation = &s },
		func(e *proof.Entry, s string) { e.Partition = &s },
		func(e *proof.Entry, s string) { e.Tenant = &s },
		func(e *proof.Entry, s string) { e.SubjectDigest = []byte(s) },
		func(e *proof.Entry, s string) { e.Basis = &s },
		func(e *proof.Entry, s string) { e.Actor = &s },
		func(e *proof.Entry, s string) { e.Reference = &s },
		func(e *proof.Entry, s string) { e.PolicySHA256 = []byte(s) },
		func(e *proof.Entry, s string) { e.Columns = []string{s} },
		func(e *proof.Entry, s string) { e.RowsRoot = []byte(s) },
	}
	const both = "abc\x01\x00\x00\x00\x01d" // a piece of it looks like another field
	for i := range len(texts) - 1 {
		seen := map[string]int{}
		for cut := range len(both) + 1 {
			e := full()
			texts[i](e, both[:cut])
			texts[i+1](e, both[cut:])
			leaf := mustLeaf(t, e)
			if other, ok := seen[leaf]; ok {
				t.Errorf("texts %d and %d: cut at %d has the leaf of cut at %d", i, i+1, cut, other)
			}
			seen[leaf] = cut
		}
	}
}

func TestLeafRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", proof.MaxLeaf)
	empty := len(mustLeaf(t, &proof.Entry{LoggedAt: time.Unix(0, 0)}))
	tests := []struct {
		name  string
		entry proof.Entry
		want  string
	}{
		{"one byte too long", proof.Entry{Seq: 3, Source: long[empty-1:]}, "encode entry 3: its leaf has 65536 bytes and may have 65535: shorten its texts"},
		{"before timestamptz", proof.Entry{LoggedAt: time.Date(-4713, 11, 23, 23, 59, 59, 0, time.UTC)}, "encode entry 0: logged_at is no time that timestamptz can hold"},
		{"after timestamptz", proof.Entry{Cutoff: ptr(time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC))}, "encode entry 0: cutoff is no time that timestamptz can hold"},
	}
	for _, tt := range tests {
		if _, err := tt.entry.Leaf(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got error %v, want %s", tt.name, err, tt.want)
		}
	}
	for _, e := range []proof.Entry{
		{Source: long[empty:]},
		{LoggedAt: time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC)},
		{LoggedAt: time.Date(294276, 12, 31, 23, 59, 59, 999999000, time.UTC)},
	} {
		if _, err := e.Leaf(); err != nil {
			t.Errorf("the last that is allowed: %v", err)
		}
	}
}

func mustLeaf(t testing.TB, e *proof.Entry) string {
	t.Helper()
	leaf, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	return string(leaf)
}
