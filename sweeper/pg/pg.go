// Package pg is how sweeper speaks to PostgreSQL: connections with a pinned
// session, errors that carry no row data, SQLSTATE classes, and the keys of
// the advisory locks.
//
// It guarantees that every connection runs with the same settings whatever
// the role or database defaults say, and that the text of an error made by
// [Wrap] never holds a column's value. It never retries and never logs: both
// are decisions of the callers.
package pg

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ConnectTimeout bounds one attempt to connect, when the URL sets none.
const ConnectTimeout = 10 * time.Second

// TimelineSQL is the timeline that a primary writes, as an expression; a standby
// has no say, and gives 0.
const TimelineSQL = `case when not pg_is_in_recovery() then ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int else 0 end`

// session is set at connect time, so that neither role defaults, database
// defaults nor the application's search_path can change what our statements
// mean. JIT is off because the planner's costs for a batch statement with
// sub-selects are far above the threshold at which compiling starts, and the
// compilation then takes longer than the batch.
var session = map[string]string{
	"search_path":                         "pg_catalog, pg_temp",
	"timezone":                            "UTC",
	"datestyle":                           "ISO, MDY",
	"intervalstyle":                       "postgres",
	"extra_float_digits":                  "3",
	"bytea_output":                        "hex",
	"client_encoding":                     "UTF8",
	"standard_conforming_strings":         "on",
	"default_transaction_isolation":       "read committed",
	"default_transaction_read_only":       "off",
	"default_transaction_deferrable":      "off",
	"idle_in_transaction_session_timeout": "15000", // frees the locks of a process that stands still
	"jit":                                 "off",
}

// Config parses url (or, when it is empty, libpq's PG* variables) and pins the
// session's settings. name is the application_name under which the server
// lists the connection.
func Config(url, name string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// The parser's own text can repeat the URL, password included.
		return nil, fmt.Errorf("parse the connection URL: not a valid PostgreSQL URL or keyword string (write postgres://user:password@host:5432/database)")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = ConnectTimeout
	}
	params := maps.Clone(session)
	params["application_name"] = name
	maps.Copy(cfg.RuntimeParams, params)
	cfg.DialFunc = dialer(cfg.ConnectTimeout).DialContext
	return cfg, nil
}

// Option changes how Connect connects.
type Option func(*pgx.ConnConfig)

// OnWarning has warn hear the server's warnings; nil hears none. sweeper's own
// functions tell of ids and names, never of values.
func OnWarning(warn func(string)) Option { return onMessage("WARNING", warn) }

// OnNotice is OnWarning for notices.
func OnNotice(say func(string)) Option { return onMessage("NOTICE", say) }

func onMessage(severity string, say func(string)) Option {
	return func(cfg *pgx.ConnConfig) {
		cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
			if say != nil && n.SeverityUnlocalized == severity {
				say(n.Message)
			}
		}
	}
}

// Connect opens one connection with the pinned session.
func Connect(ctx context.Context, url, name string, with ...Option) (*pgx.Conn, error) {
	cfg, err := Config(url, name)
	if err != nil {
		return nil, err
	}
	for _, option := range with {
		option(cfg)
	}
	var conn *pgx.Conn
	err = wishing(cfg, func() error {
		conn, err = pgx.ConnectConfig(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, Wrap("connect to "+Target(cfg), err)
	}
	registerTypes(conn.TypeMap())
	return conn, nil
}

// Pool opens a pool of at most size connections with the pinned session, and
// checks that one can be made. Their statements are planned with the values of
// each execution. A connection that ready refuses is not used.
func Pool(ctx context.Context, url, name string, size int, ready ...func(context.Context, *pgx.Conn) error) (*pgxpool.Pool, error) {
	conn, err := Config(url, name)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse the connection URL: not a valid PostgreSQL URL or keyword string")
	}
	// A generic plan of a statement over a partitioned table opens and locks every
	// partition there is, which the server's table of locks need not hold, and knows
	// no range. So statements have no name, and are planned with their values each
	// time. The setting that does so would go for the application's triggers and
	// foreign keys too, and have each row's check planned anew.
	conn.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	conn.RuntimeParams["plan_cache_mode"] = "auto" // whatever the role's is
	cfg.ConnConfig = conn
	cfg.MaxConns = int32(size)
	cfg.MaxConnIdleTime = time.Minute // between two runs it holds nothing
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		registerTypes(c.TypeMap())
		for _, check := range ready {
			if err := check(ctx, c); err != nil {
				return err
			}
		}
		return nil
	}
	var pool *pgxpool.Pool
	err = wishing(conn, func() error {
		if pool, err = pgxpool.NewWithConfig(ctx, cfg.Copy()); err != nil {
			return err
		}
		if err = pool.Ping(ctx); err != nil {
			pool.Close()
		}
		return err
	})
	if err != nil {
		return nil, Wrap("connect to "+Target(conn), err)
	}
	return pool, nil
}

// Keep has a connection of a pool keep the plans of statements that any plan
// serves, those without ranges, and that are executed again and again: to plan
// them costs more than they do. Once kept, it asks the server nothing.
func Keep(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Prepare(ctx, sql, sql); err != nil {
			return Wrap("prepare a statement", err)
		}
	}
	return nil
}

// registerTypes teaches pgx the types that it has no binary form for: COPY
// into pg_lsn and xid8 fails with 22P03 without it.
func registerTypes(m *pgtype.Map) {
	m.RegisterType(&pgtype.Type{Name: "pg_lsn", OID: 3220, Codec: pgtype.Uint64Codec{}})
}

// Target names where a connection goes, without its password.
func Target(cfg *pgx.ConnConfig) string {
	u := url.URL{Path: cfg.Database}
	return fmt.Sprintf("database %q at %s as %q", u.Path, cfg.Host+":"+strconv.Itoa(int(cfg.Port)), cfg.User)
}
