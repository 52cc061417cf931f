package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

// stepTimeout bounds each thing that pgtest itself does on the server, and the
// wait of Eventually.
const stepTimeout = 30 * time.Second

// shared is the one server of the test binary.
var shared server

// server is started at its first use.
type server struct {
	mu      sync.Mutex // guards all that follows, until the server runs
	used    bool
	err     error   // why there is none
	base    url.URL // the superuser's, to any database
	how     string
	version string
	close   func(context.Context) error // nil for a server that is not ours
	admin   *pgxpool.Pool

	create    sync.Mutex // one CREATE DATABASE at a time
	password  sync.Once
	templates registry
}

// start starts the server, or returns what the first start did.
func (s *server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used {
		return s.err
	}
	s.used = true
	var base string
	if base, s.close, s.err = provide(ctx, s); s.err != nil {
		return s.err
	}
	u, err := url.Parse(base)
	if err != nil {
		// The parser's own text repeats the URL, password included.
		s.err = errors.New("parse SWEEPER_TEST_DATABASE_URL: not a URL (write postgres://postgres@127.0.0.1:5432/postgres)")
		return s.err
	}
	s.base = *u
	s.err = s.connect(ctx)
	return s.err
}

// provide finds a server in the order that the package comment gives.
func provide(ctx context.Context, s *server) (base string, stop func(context.Context) error, err error) {
	if base = os.Getenv("SWEEPER_TEST_DATABASE_URL"); base != "" {
		s.how = "SWEEPER_TEST_DATABASE_URL"
		return base, nil, nil
	}
	if os.Getenv("SWEEPER_TEST_IMAGE") != "" { // asked for: nothing else will do
		return s.container(ctx)
	}
	base, stop, err = s.own(ctx, pgserver.Binaries)
	if !errors.Is(err, pgserver.ErrNotFound) {
		return base, stop, err
	}
	base, stop, containerErr := s.container(ctx)
	if containerErr == nil {
		return base, stop, nil
	}
	base, stop, err = s.own(ctx, pgserver.Download)
	if err != nil {
		err = fmt.Errorf("%w; Docker: %w (tests also take SWEEPER_TEST_DATABASE_URL)", err, containerErr)
	}
	return base, stop, err
}

// own starts a server of package pgserver.
func (s *server) own(ctx context.Context, from pgserver.Source) (string, func(context.Context) error, error) {
	started, err := pgserver.Start(ctx, pgserver.Options{Settings: settings, Dir: folder(), Sources: []pgserver.Source{from}})
	if err != nil {
		return "", nil, err
	}
	s.how = started.How()
	return started.URL("postgres", pgserver.Superuser), started.Stop, nil
}

// settings are those of a server for tests, over the defaults of pgserver:
// room for many tests at once, and no checkpoint in the middle of them.
var settings = map[string]string{
	"max_connections":       "300",
	"max_replication_slots": "200",
	"max_wal_senders":       "200",
	"log_statement":         "none",
	"checkpoint_timeout":    "1h",
}

// allSettings are the settings for a server that pgserver does not start.
func allSettings() map[string]string {
	all := pgserver.Defaults(false)
	maps.Copy(all, settings)
	return all
}

// connect opens the connections that make and drop databases, and checks that
// the server is one that tests can use.
func (s *server) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	pool, err := pgxpool.New(ctx, s.base.String())
	if err != nil {
		return fmt.Errorf("connect to the server for tests (%s): %w", s.how, err)
	}
	s.admin = pool
	var level string
	var super bool
	const check = `select pg_catalog.current_setting('wal_level'),
		pg_catalog.current_setting('is_superuser')::boolean, pg_catalog.current_setting('server_version')`
	if err := pool.QueryRow(ctx, check).Scan(&level, &super, &s.version); err != nil {
		return fmt.Errorf("check the server for tests (%s): %w", s.how, err)
	}
	if level != "logical" || !super {
		return fmt.Errorf("check the server for tests (%s): it needs wal_level=logical (is %s) and a superuser (is %t)",
			s.how, level, super)
	}
	return nil
}

// stop removes what was made for the whole run and stops the server.
func (s *server) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.templates.drop(ctx, s))
		s.admin.Close()
	}
	if s.close != nil {
		errs = append(errs, s.close(ctx))
	}
	return errors.Join(errs...)
}

// url is where user reaches database; "" is the superuser.
func (s *server) url(database, user string) string {
	u := s.base
	u.Path = "/" + database
	if user != "" && user != u.User.Username() {
		u.User = url.User(user)
	}
	return u.String()
}

// image names what Docker runs.
func image() (repository, tag string) {
	return cmp.Or(os.Getenv("SWEEPER_TEST_IMAGE"), "postgres"), cmp.Or(os.Getenv("SWEEPER_TEST_TAG"), "18")
}
