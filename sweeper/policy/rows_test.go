package policy

import "testing"

// TestDisjoint holds when two categories cannot have a row in common. What is
// not known to be so may be otherwise.
func TestDisjoint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"{column: s, op: eq, value: a}", "{column: s, op: eq, value: b}", true},
		{"{column: s, op: eq, value: a}", "{column: t, op: eq, value: b}", false},
		{"{column: s, op: in, value: [a, b]}", "{column: s, op: in, value: [c, b]}", false},
		{"{column: s, op: in, value: [a, b]}", "{column: s, op: in, value: [c, d]}", true},
		{"{column: s, op: eq, value: a}", "{column: s, op: eq, value: A}", false}, // the type may fold case
		{"{column: s, op: eq, value: 1}", "{column: s, op: eq, value: '01'}", false},
		{"{column: s, op: eq, value: 1}", "{column: s, op: eq, value: 1.0}", false},
		{"{column: s, op: eq, value: 1}", "{column: s, op: eq, value: 1.5}", true},
		{"{column: s, op: is_null}", "{column: s, op: not_null}", true},
		{"{column: s, op: is_null}", "{column: s, op: ne, value: a}", true},
		{"{column: s, op: is_null}", "{column: s, op: is_null}", false},
		{"{column: s, op: eq, value: a}", "{column: s, op: ne, value: a}", true},
		{"{column: s, op: in, value: [a, b]}", "{column: s, op: not_in, value: [b, c, a]}", true},
		{"{column: s, op: in, value: [a, b]}", "{column: s, op: not_in, value: [b]}", false},
		{"{column: s, op: lt, value: 5}", "{column: s, op: gt, value: 5}", false}, // not looked into
	} {
		set := parsed(t, "p.yaml", bothOver("start_from: at, delete: {after: P1D}, where: ["+tt.a+"]", "start_from: at, delete: {after: P1D}, where: ["+tt.b+"]"))
		a, b := &set.Categories[0], &set.Categories[1]
		if got := disjoint(a, b); got != tt.want || disjoint(b, a) != got {
			t.Errorf("%s and %s: %t, want %t, and the same the other way round", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestPosture holds the edges of the tiers; sql holds that they are the
// database's.
func TestPosture(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"P0D": "Below floor", "P89D": "Below floor", "P3M": "Reduced", "P90D": "Reduced", "P179D": "Reduced", "P6M": "Aligned with the standard's principles",
		"P359D": "Aligned with the standard's principles", "P1Y": "Follows GDPR Art. 5(1)(e)", "P84M": "Follows GDPR Art. 5(1)(e)", "P7Y1D": "Above ceiling",
	} {
		p, err := ParsePeriod(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Posture(&p); got != want {
			t.Errorf("Posture(%s) = %q, want %q", text, got, want)
		}
	}
	if got := Posture(nil); got != "Unlimited" {
		t.Errorf("Posture(nil) = %q", got)
	}
}
