package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones are known on machines that have none installed
)

// collector puts the files of a set together.
type collector struct {
	set      *Set
	defaults Defaults
	errs     []*Error
	named    map[string]Position // categories so far
	texts    map[string]said     // controller, processor, region so far
	broken   map[string]bool     // categories with errors of their own
}

// said is a free text of the whole set and the file that gave it.
type said struct {
	text string
	at   Position
}

// file reads one file into the set.
func (c *collector) file(f File, zone string) {
	r := &reader{path: f.Path, defaults: c.defaults}
	if text, ok := r.clean(f.Source); ok {
		if root := r.parse(text); root != nil {
			c.top(r, root, zone)
			r.judgeStructure(root)
		}
	}
	for _, p := range r.problems {
		if rest, ok := strings.CutPrefix(p.path, "categories."); ok && !p.judgement {
			name, _, _ := strings.Cut(rest, ".")
			c.broken[name] = true
		}
	}
	c.errs = append(c.errs, r.errors()...)
}

// together judges what only several categories show. One that is wrong by itself
// is left out: what it was meant to say is not known.
func (c *collector) together() {
	if c.defaults.Former {
		return
	}
	var whole []*Category
	for i := range c.set.Categories {
		if one := &c.set.Categories[i]; !c.broken[one.Name] {
			whole = append(whole, one)
		}
	}
	c.errs = append(c.errs, contradictions(whole)...)
	c.errs = append(c.errs, circles(whole)...)
}

// top reads the keys of a file. It takes any tree: what has the wrong form was
// reported by judgeStructure and counts as not written.
func (c *collector) top(r *reader, root *node, zone string) {
	if root.kind != mapping {
		r.fail("", root.at, `the file holds %s; write "version: 1" and categories`, root.describe())
		return
	}
	r.version(root)
	for _, t := range []struct {
		key  string
		into *string
	}{{"controller", &c.set.Controller}, {"processor", &c.set.Processor}, {"region", &c.set.Region}} {
		if text := r.text(t.key, root.get(t.key), false); text != "" {
			c.agree(r, t.key, text, root.get(t.key).val.at)
			*t.into = text
		}
	}
	var zoneAt *entry
	if e := root.get("timezone"); e != nil {
		if name, ok := e.val.value.(string); ok {
			zone, zoneAt = name, e
			if err := checkZone(name); err != nil {
				r.fail("timezone", e.val.at, "%v", err)
			}
		}
	}
	c.categories(r, root, zone, zoneAt)
}

// categories reads the categories of a file; zoneAt is where it names its zone.
func (c *collector) categories(r *reader, root *node, zone string, zoneAt *entry) {
	categories := root.get("categories")
	if categories == nil {
		r.fail("categories", root.at, "no category; write at least one under categories:")
		return
	}
	if v := categories.val; v.value == nil && v.kind != list && v.kind != broken && len(v.pairs) == 0 {
		r.fail("categories", categories.at, "no category; write at least one under categories:")
	}
	for i := range categories.val.entries() {
		e := &categories.val.pairs[i]
		category := r.category(e, zone)
		if zoneAt != nil {
			category.Ats["timezone"] = r.position(zoneAt.val.at)
		}
		if first, twice := c.named[e.key]; twice {
			r.fail(join("categories", e.key), e.at, "category %s is already defined at %s", quote(e.key), first)
			continue
		}
		c.named[e.key] = category.At
		c.set.Categories = append(c.set.Categories, category)
	}
}

func (r *reader) version(root *node) {
	e := root.get("version")
	switch {
	case e == nil:
		r.fail("version", root.at, `"version" is missing; write "version: 1"`)
	case e.val.value == "1":
		r.fail("version", e.val.at, "version is a number; write 1 without quotes")
	case e.val.value != int64(1) && e.val.value != float64(1):
		r.fail("version", e.val.at, "version %s is not known; this binary reads 1", e.val.describe())
	}
}

// agree refuses two files that print different texts in one report.
func (c *collector) agree(r *reader, key, text string, at place) {
	first, ok := c.texts[key]
	if ok && first.text != text {
		r.fail(key, at, "%s is %s at %s; give it once", key, quote(first.text), first.at)
	}
	if !ok {
		c.texts[key] = said{text, r.position(at)}
	}
}

// checkZone tells whether name is a zone of the IANA database.
func checkZone(name string) error {
	if name == "" {
		return errors.New(`a time zone is missing; write an IANA name, e.g. "Europe/Berlin", or UTC`)
	}
	// Local is whatever the machine says, which the database does not know.
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return fmt.Errorf(`unknown time zone %s; write an IANA name, e.g. "Europe/Berlin"`, quote(name))
	}
	return nil
}
