package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// group measures lines that share their work.
type group struct {
	lines   []string
	measure func(ctx context.Context, b *bench) error
}

// groups are all measurements, in the order of the table in the README.
var groups = []group{
	deleteGroup, scatteredGroup, evidenceGroup, shapesGroup, holdsGroup, growthGroup, partitionsGroup,
	loadGroup, lagGroup, decodeGroup, memoryGroup, verifyGroup, idleGroup,
}

// line is one figure.
type line struct {
	Name    string   `json:"name"`
	Value   *float64 `json:"value"` // nil: it could not be measured, and against says why
	Unit    string   `json:"unit"`
	Against string   `json:"against"`
	Target  string   `json:"target"`
	OK      bool     `json:"ok"` // true too where there is no target; false where nothing was measured
}

// missing is a peer that this machine does not have.
type missing string

func (m missing) Error() string { return string(m) + " is not installed" }

// target is what a value must reach.
type target struct {
	text string
	met  func(v float64) bool
}

func atMost(limit float64) target {
	return target{fmt.Sprintf("<= %g", limit), func(v float64) bool { return v <= limit }}
}

func atLeast(limit float64) target {
	return target{fmt.Sprintf(">= %g", limit), func(v float64) bool { return v >= limit }}
}

func between(low, high float64) target {
	return target{fmt.Sprintf("%g to %g", low, high), func(v float64) bool { return low <= v && v <= high }}
}

// figure is a line without a target.
var figure = target{"", func(float64) bool { return true }}

// wants tells whether one of the lines was asked for.
func (b *bench) wants(names ...string) bool {
	return slices.ContainsFunc(names, b.chosen.MatchString)
}

// add reports a line, unless nobody asked for it.
func (b *bench) add(name string, value float64, unit, against string, t target) {
	if !b.wants(name) {
		return
	}
	b.lines = append(b.lines, line{name, &value, unit, against, t.text, t.met(value)})
	fmt.Fprintf(os.Stderr, "%s: %.3g %s (against: %s)\n", name, value, unit, against)
}

// lack reports that lines of which nothing was reported could not be measured,
// each that somebody asked for.
func (b *bench) lack(names []string, why error) {
	for _, name := range names {
		if !b.wants(name) || slices.ContainsFunc(b.lines, func(l line) bool { return l.Name == name }) {
			continue
		}
		b.lines = append(b.lines, line{Name: name, Against: "not measured: " + first(strings.Join(strings.Fields(why.Error()), " "), 200)})
		fmt.Fprintf(os.Stderr, "%s: not measured: %v\n", name, why)
	}
}

func (b *bench) list() error {
	for _, g := range groups {
		for _, name := range g.lines {
			if b.wants(name) {
				fmt.Println(name)
			}
		}
	}
	return nil
}

func (b *bench) print() error {
	if b.output == "json" {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(append([]line{}, b.lines...))
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "LINE\tVALUE\tUNIT\tTARGET\tMET\tAGAINST\tCOMMAND")
	for _, l := range b.lines {
		met := map[bool]string{true: "yes", false: "NO"}[l.OK]
		if l.Target == "" {
			met = ""
		}
		value := "-"
		if l.Value != nil {
			value = fmt.Sprintf("%.3g", *l.Value)
		}
		_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\tgo run ./bench -run '^%s$'\n", l.Name, value, l.Unit, l.Target, met, l.Against, regexp.QuoteMeta(l.Name))
	}
	return out.Flush()
}
