package sweeper

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// SetupError is a server, a role or a database that is not set up for sweeper.
type SetupError struct {
	Problem string // one sentence: what is wrong
	Remedy  string // what to do about it
}

// Error prints problem and remedy in one sentence.
func (e *SetupError) Error() string { return e.Problem + "; " + e.Remedy }

// The oldest and the newest major version of PostgreSQL that this binary knows.
const (
	oldestServer = 14
	newestServer = 18
)

// server is what a connection tells of itself before anything is done.
type server struct {
	version    int
	database   string
	user       string
	encoding   string
	walLevel   string
	standby    bool
	superuser  bool
	replicates bool
	stats      bool // sees the statistics of all sessions
	schema     *int // installed version; nil: not installed
}

func inspect(ctx context.Context, conn *pgx.Conn) (server, error) {
	var s server
	var table *string
	err := conn.QueryRow(ctx, `
		select current_setting('server_version_num')::int / 10000, current_database(), current_user::text,
		       pg_encoding_to_char(d.encoding), current_setting('wal_level'), pg_is_in_recovery(),
		       r.rolsuper, r.rolreplication or r.rolsuper, pg_has_role('pg_read_all_stats', 'usage'), to_regclass('sweeper.schema_version')::text
		  from pg_database d, pg_roles r where d.datname = current_database() and r.rolname = current_user`).
		Scan(&s.version, &s.database, &s.user, &s.encoding, &s.walLevel, &s.standby, &s.superuser, &s.replicates, &s.stats, &table)
	if err != nil {
		return s, pg.Wrap("look at the server", err)
	}
	if table == nil {
		return s, nil
	}
	err = conn.QueryRow(ctx, `select max(version) from sweeper.schema_version`).Scan(&s.schema)
	return s, pg.Wrap("read the version of schema sweeper", err)
}

// fit refuses a server that cannot serve any verb.
func (s server) fit() error {
	switch {
	case s.version < oldestServer || s.version > newestServer:
		return &SetupError{fmt.Sprintf("the server is PostgreSQL %d", s.version), fmt.Sprintf("this sweeper works with %d to %d", oldestServer, newestServer)}
	case s.standby:
		return &SetupError{fmt.Sprintf("database %q is on a standby, which can only be read", s.database), "connect to the primary"}
	case s.encoding != "UTF8":
		return &SetupError{fmt.Sprintf("database %q is encoded in %s", s.database, s.encoding), "the purge log needs UTF8"}
	case s.walLevel != "logical":
		return &SetupError{fmt.Sprintf("wal_level is %q, so the write-ahead log would not show what was deleted", s.walLevel), "run ALTER SYSTEM SET wal_level = logical; and restart PostgreSQL"}
	}
	return nil
}

// installed refuses a schema that is missing, older or newer.
func (s server) installed() error {
	switch {
	case s.schema == nil:
		return &SetupError{fmt.Sprintf("sweeper is not installed in database %q, or role %q may not see it", s.database, s.user), "run: sweeper install"}
	case *s.schema < SchemaVersion:
		return &SetupError{fmt.Sprintf("schema sweeper has version %d and this binary needs %d", *s.schema, SchemaVersion), "run: sweeper install"}
	}
	return s.notNewer()
}

func (s server) notNewer() error {
	if s.schema != nil && *s.schema > SchemaVersion {
		return &SetupError{fmt.Sprintf("schema sweeper has version %d, newer than the %d of this binary", *s.schema, SchemaVersion), "use a newer sweeper"}
	}
	return nil
}

// purger connects as the purging role and refuses what must not purge.
func (c Config) purger(ctx context.Context, i instance) (*pgx.Conn, server, error) {
	return c.open(ctx, c.DatabaseURL, i.purger(), func(s server) error {
		if s.superuser && !c.AllowSuperuser {
			return &SetupError{
				fmt.Sprintf("role %q is a superuser, whom no privilege keeps from purging the wrong table or writing the purge log", s.user),
				"set SWEEPER_DATABASE_URL to sweeper_daemon (or SWEEPER_ALLOW_SUPERUSER=true for a test)",
			}
		}
		if !s.stats && c.MaxReplicaLag > 0 {
			return &SetupError{
				fmt.Sprintf("role %q may not see how far standbys are behind, so that nothing could wait for them", s.user),
				fmt.Sprintf("run GRANT pg_read_all_stats TO %s; or set SWEEPER_MAX_REPLICA_LAG=0s", pgx.Identifier{s.user}.Sanitize()),
			}
		}
		return nil
	})
}

// logger connects as the logging role and refuses one that may not replicate.
func (c Config) logger(ctx context.Context, i instance) (*pgx.Conn, server, error) {
	return c.open(ctx, c.ReplicationURL, i.logger(), func(s server) error {
		if !s.replicates {
			return &SetupError{
				fmt.Sprintf("role %q may not replicate", s.user),
				fmt.Sprintf("set SWEEPER_REPLICATION_URL to sweeper_logger, or run ALTER ROLE %s REPLICATION;", pgx.Identifier{s.user}.Sanitize()),
			}
		}
		return nil
	})
}

// open connects and checks server, role and schema, in that order.
func (c Config) open(ctx context.Context, url URL, name string, role func(server) error, with ...pg.Option) (*pgx.Conn, server, error) {
	conn, err := pg.Connect(ctx, url.Reveal(), name, with...)
	if err != nil {
		return nil, server{}, err
	}
	s, err := inspect(ctx, conn)
	for _, check := range []func() error{s.fit, func() error { return role(s) }, s.installed} {
		if err == nil {
			err = check()
		}
	}
	if err != nil {
		_ = conn.Close(ctx)
		return nil, s, err
	}
	return conn, s, nil
}
