package pgtest

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// registry holds the templates that From made on a server.
type registry struct {
	mu     sync.Mutex // guards byName
	byName map[string]*template
}

// template is a database that is prepared once and copied often.
type template struct {
	once sync.Once
	name string // "" until it is ready, for good when its preparation failed
	by   string // the test that prepared it
}

// From makes a database that is a copy of the template called key, and drops it
// when the test ends. The first test to ask prepares the template: prepare gets
// an empty database, and what it leaves there is what every copy has. Use one
// key for one prepare.
//
// A copy has everything inside the database, publications included. It does
// not have what belongs to the server or hangs on the database's name: slots
// (those that prepare made are dropped), ALTER DATABASE ... SET, grants on the
// database. Roles exist once, for all copies.
func From(t testing.TB, key string, prepare func(t testing.TB, d *DB)) *DB {
	t.Helper()
	tpl := shared.templates.get(key)
	tpl.once.Do(func() { tpl.prepare(t, prepare) })
	if tpl.name == "" {
		t.Fatalf("copy template %q: its preparation ended early in %s", key, tpl.by)
	}
	return create(t, tpl.name)
}

func (r *registry) get(key string) *template {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName == nil {
		r.byName = map[string]*template{}
	}
	if r.byName[key] == nil {
		r.byName[key] = &template{}
	}
	return r.byName[key]
}

// prepare makes the template. A test that fails in the middle leaves through
// runtime.Goexit, with the name unset, and the half-made database is dropped
// like a test's own.
func (p *template) prepare(t testing.TB, fill func(t testing.TB, d *DB)) {
	t.Helper()
	p.by = t.Name()
	if err := shared.start(t.Context()); err != nil {
		t.Fatalf("provide a PostgreSQL server: %v", err)
	}
	d := &DB{Name: name("template")}
	if err := shared.createDatabase(t.Context(), d.Name, "template0"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p.name == "" {
			d.drop(t)
		}
	}()
	fill(t, d)
	d.close()
	if err := shared.seal(t.Context(), d.Name); err != nil {
		t.Fatal(err)
	}
	p.name = d.Name
}

// seal closes a database to sessions, so that it can be copied at any time.
func (s *server) seal(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "alter database "+quote(name)+" allow_connections false"); err != nil {
		return err
	}
	return s.dropSlots(ctx, name)
}

// drop removes the templates from the server.
func (r *registry) drop(ctx context.Context, s *server) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, p := range r.byName {
		if p.name != "" {
			errs = append(errs, s.dropDatabase(ctx, p.name))
		}
	}
	return errors.Join(errs...)
}
