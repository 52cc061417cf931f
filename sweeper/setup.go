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
	slots      int // max_replication_slots
	senders    int // max_wal_senders
	standby    bool
	superuser  bool
	replicates bool
	stats      bool // sees the statistics of all sessions
	hidden     bool // schema sweeper is there, and this role may not use it
	schema     *int // installed version; nil: not installed, or hidden
}

func inspect(ctx context.Context, conn *pgx.Conn) (server, error) {
	var s server
	var found, usable bool
	err := conn.QueryRow(ctx, `
		select current_setting('server_version_num')::int / 10000, current_database(), current_user::text,
		       pg_encoding_to_char(d.encoding), current_setting('wal_level'), current_setting('max_replication_slots')::int, current_setting('max_wal_senders')::int, pg_is_in_recovery(),
		       r.rolsuper, r.rolreplication or r.rolsuper, pg_has_role('pg_read_all_stats', 'usage'),
		       v.oid is not null, coalesce(has_schema_privilege(v.relnamespace, 'usage') and has_table_privilege(v.oid, 'select'), false)
		  from pg_database d, pg_roles r
		  left join (select c.oid, c.relnamespace from pg_class c join pg_namespace n on n.oid = c.relnamespace
		              where n.nspname = 'sweeper' and c.relname = 'schema_version') v on true
		 where d.datname = current_database() and r.rolname = current_user`).
		Scan(&s.version, &s.database, &s.user, &s.encoding, &s.walLevel, &s.slots, &s.senders, &s.standby, &s.superuser, &s.replicates, &s.stats, &found, &usable)
	if err != nil {
		return s, pg.Wrap("look at the server", err)
	}
	if s.hidden = found && !usable; !usable {
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
	case s.slots == 0:
		return &SetupError{"max_replication_slots is 0, so the purge log could have no slot", "run ALTER SYSTEM SET max_replication_slots = 10; and restart PostgreSQL"}
	case s.senders == 0:
		return &SetupError{"max_wal_senders is 0, so nobody could read the purge log's slot", "run ALTER SYSTEM SET max_wal_senders = 10; and restart PostgreSQL"}
	}
	return nil
}

// The roles that install makes, by what a connection is for.
const (
	roleOwner    = "sweeper_owner"    // owns the schema
	roleDaemon   = "sweeper_daemon"   // purges, and reads what it would purge
	roleLogger   = "sweeper_logger"   // appends the log
	roleOperator = "sweeper_operator" // calls the functions
	roleAuditor  = "sweeper_auditor"  // reads
)

// seen refuses a schema that is there for others alone. as is the role whose
// privileges would do.
func (s server) seen(as string) error {
	if !s.hidden {
		return nil
	}
	return &SetupError{
		fmt.Sprintf("role %q may not use schema sweeper of database %q", s.user, s.database),
		fmt.Sprintf("run GRANT %s TO %s; or connect as a role that has it", as, pgx.Identifier{s.user}.Sanitize()),
	}
}

// installed refuses a schema that is missing, hidden, older or newer. as is the
// role whose privileges the connection needs.
func (s server) installed(as string) error {
	if err := s.seen(as); err != nil {
		return err
	}
	switch {
	case s.schema == nil:
		return &SetupError{fmt.Sprintf("sweeper is not installed in database %q", s.database), "run: sweeper install"}
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
	return c.open(ctx, c.DatabaseURL, i.purger(), roleDaemon, func(s server) error {
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
	return c.open(ctx, c.ReplicationURL, i.logger(), roleLogger, func(s server) error {
		if !s.replicates {
			return &SetupError{
				fmt.Sprintf("role %q may not replicate", s.user),
				fmt.Sprintf("set SWEEPER_REPLICATION_URL to sweeper_logger, or run ALTER ROLE %s REPLICATION;", pgx.Identifier{s.user}.Sanitize()),
			}
		}
		return nil
	})
}

// connect is pg.Connect for verbs: a role that an install would make and none has
// made, or that is not made to log in, is a server that is not set up for us, and
// no password that is wrong.
func connect(ctx context.Context, url URL, name string, with ...pg.Option) (*pgx.Conn, error) {
	conn, err := pg.Connect(ctx, url.Reveal(), name, with...)
	if !pg.NoRole(err) {
		return conn, err
	}
	cfg, bad := pg.Config(url.Reveal(), name)
	if bad != nil {
		return nil, err
	}
	switch cfg.User {
	case roleDaemon, roleLogger:
		return nil, &SetupError{err.Error(), "run sweeper install first, as a role that may create roles (SWEEPER_INSTALL_URL): it makes this one"}
	case roleOwner, roleOperator, roleAuditor: // there or not
		return nil, &SetupError{err.Error(), fmt.Sprintf("sweeper install makes it without a login: run GRANT %s TO a role that may log in, and connect as that one", cfg.User)}
	}
	return nil, err
}

// open connects and checks server, role and schema, in that order. as is the role
// of sweeper whose privileges the connection needs.
func (c Config) open(ctx context.Context, url URL, name, as string, role func(server) error, with ...pg.Option) (*pgx.Conn, server, error) {
	conn, err := connect(ctx, url, name, with...)
	if err != nil {
		return nil, server{}, err
	}
	s, err := inspect(ctx, conn)
	for _, check := range []func() error{s.fit, func() error { return s.seen(as) }, func() error { return role(s) }, func() error { return s.installed(as) }} {
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
