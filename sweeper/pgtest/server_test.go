package pgtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

func TestServerThatTheEnvironmentNames(t *testing.T) {
	own := Server(t, pgserver.Options{})
	t.Setenv("SWEEPER_TEST_DATABASE_URL", own.URL("postgres", pgserver.Superuser))
	var s server
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.createDatabase(t.Context(), "a", "template0"); err != nil {
		t.Error(err)
	}
	if err := s.dropDatabase(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := ask(t.Context(), own.URL("postgres", pgserver.Superuser), "select 1", new(int)); err != nil {
		t.Errorf("the server that is not ours: %v", err)
	}
}

func TestServerThatCannotBeUsed(t *testing.T) {
	replica := Server(t, pgserver.Options{Settings: map[string]string{"wal_level": "replica"}})
	for _, test := range []struct{ url, want string }{
		{"http://%zz", "write postgres://"},
		{"postgres://postgres@127.0.0.1:1/postgres", "SWEEPER_TEST_DATABASE_URL"},
		{replica.URL("postgres", pgserver.Superuser), "needs wal_level=logical (is replica)"},
	} {
		t.Setenv("SWEEPER_TEST_DATABASE_URL", test.url)
		var s server
		err := s.start(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q in it", err, test.want)
		}
		if again := s.start(t.Context()); !errors.Is(again, err) {
			t.Errorf("again: got %v, want the same", again)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	s := server{}
	s.base.Scheme, s.base.Host = "postgres", "db:5432"
	for _, test := range []struct{ database, user, want string }{
		{"a", "", "postgres://db:5432/a"},
		{"a", "x y@z", "postgres://x%20y%40z@db:5432/a"},
	} {
		if got := s.url(test.database, test.user); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
