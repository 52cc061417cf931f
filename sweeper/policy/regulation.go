package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pgsweeper/sweeper/policies"
)

// Regulation is a law, a standard or a ground that a category may name as its
// basis. What is known of it is no legal advice.
type Regulation struct {
	ID, Name, Citation string
	Jurisdiction       string // ISO 3166, EU, or international
	Kind               string // legal_obligation, consent, …
	Events             []Term // sorted by event; none: it gives no period
	Notes, Source      string
}

// Term is how long a regulation asks, or allows, to keep from an event on.
type Term struct {
	Event            string
	Minimum, Maximum *Period // nil: none
}

// Regulations returns the shipped catalogue, sorted by id. The caller leaves it
// as it is.
func Regulations() []Regulation { return loadRegulations() }

// FindRegulation returns the regulation with that id.
func FindRegulation(id string) (Regulation, bool) {
	all := loadRegulations()
	i, ok := slices.BinarySearchFunc(all, id, func(r Regulation, id string) int { return cmp.Compare(r.ID, id) })
	if !ok {
		return Regulation{}, false
	}
	return all[i], true
}

// Minimum is how long the regulation asks to keep from event on, nil where it
// gives no minimum. An event that it does not know, or none, has the longest.
func (r Regulation) Minimum(event string) *Period {
	var longest *Period
	for _, t := range r.Events {
		if t.Event == event {
			return t.Minimum
		}
		if t.Minimum != nil && (longest == nil || t.Minimum.days() > longest.days()) {
			longest = t.Minimum
		}
	}
	return longest
}

// Maximum is how long the regulation allows to keep from event on, nil where it
// gives no maximum. An event that it does not know, or none, has the shortest.
func (r Regulation) Maximum(event string) *Period {
	var shortest *Period
	for _, t := range r.Events {
		if t.Event == event {
			return t.Maximum
		}
		if t.Maximum != nil && (shortest == nil || t.Maximum.days() < shortest.days()) {
			shortest = t.Maximum
		}
	}
	return shortest
}

// events lists the names of the regulation's events.
func (r Regulation) events() []string {
	names := make([]string, len(r.Events))
	for i, t := range r.Events {
		names[i] = t.Event
	}
	return names
}

// Regulation returns what the category's basis names; false where that is free
// text, or nothing.
func (c Category) Regulation() (Regulation, bool) { return FindRegulation(c.Basis) }

// StatutoryMinimum is how long the basis of the category asks to keep its rows
// from their start on; nil where no minimum is known.
func (c Category) StatutoryMinimum() *Period {
	r, _ := c.Regulation()
	return r.Minimum(c.Start.Event)
}

// regulationID matches what is meant as an id rather than as a text of one word
// or more.
var regulationID = regexp.MustCompile(`^[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*$`)

// nearestRegulation returns the id that word is most likely a slip of, or "".
func nearestRegulation(word string) string {
	all := loadRegulations()
	ids := make([]string, len(all))
	for i, r := range all {
		ids[i] = r.ID
	}
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	for _, id := range ids {
		if strings.HasPrefix(id, word+"_") || id == word {
			return id
		}
	}
	// Short words are near each other by chance: tax is no slip of sox.
	if near := Nearest(word, ids); distance(word, near) <= max(1, len(word)/5) {
		return near
	}
	return ""
}

// loadRegulations panics on a catalogue that does not have the form of its
// schema: it is part of the binary.
var loadRegulations = sync.OnceValue(func() []Regulation {
	r := &reader{path: "regulations.yaml"}
	text, _ := r.clean(policies.Regulations)
	root := r.parse(text)
	if err := joinErrors(r.errors()); err != nil {
		panic(err)
	}
	if err := compile("regulations.schema.json", policies.RegulationsSchema).compiled.Validate(root.plain()); err != nil {
		panic(err)
	}
	var all []Regulation
	for _, e := range root.get("regulations").val.entries() {
		one := Regulation{ID: e.key}
		for key, into := range map[string]*string{
			"name": &one.Name, "citation": &one.Citation, "jurisdiction": &one.Jurisdiction,
			"kind": &one.Kind, "notes": &one.Notes, "source": &one.Source,
		} {
			*into = word(e.val.get(key))
		}
		if events := e.val.get("events"); events != nil {
			for _, event := range events.val.entries() {
				one.Events = append(one.Events, r.term(&event))
			}
		}
		slices.SortFunc(one.Events, func(a, b Term) int { return cmp.Compare(a.Event, b.Event) })
		all = append(all, one)
	}
	if err := joinErrors(r.errors()); err != nil {
		panic(err)
	}
	slices.SortFunc(all, func(a, b Regulation) int { return cmp.Compare(a.ID, b.ID) })
	return all
})

func (r *reader) term(e *entry) Term {
	t := Term{Event: e.key}
	for key, into := range map[string]**Period{"minimum": &t.Minimum, "maximum": &t.Maximum} {
		if p, ok := r.period(key, e.val.get(key)); ok {
			*into = &p
		}
	}
	return t
}
