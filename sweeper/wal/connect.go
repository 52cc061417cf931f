package wal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

const (
	openTimeout = 30 * time.Second // for everything up to the stream's start
	readBuffer  = 64 << 10
	// Silence that counts as a dead server. It is long because a server may be
	// busy for minutes with a transaction in which nothing is for us, and a
	// connection given up in the midst of that would never get past it. A dead
	// peer shows within deadPeer.
	silenceLimit = 5 * time.Minute
	deadPeer     = 30 * time.Second
	pingPause    = time.Second
)

// session ends no stream for taking long. pg.Config pins the rest, the form
// of texts above all.
var session = map[string]string{
	"replication":                         "database",
	"statement_timeout":                   "0",
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": "0",
	"idle_session_timeout":                "0",
	"client_min_messages":                 "warning",
}

// wishes are settings that help and may be refused, by a pooler for one. What
// the URL says about them goes first.
var wishes = map[string]string{
	"logical_decoding_work_mem": "128MB", // a batch's transaction then never spills to disk
	"wal_sender_timeout":        "60s",
	// A server that has lost us lets go of the slot within 30 s.
	"tcp_keepalives_idle":     "10",
	"tcp_keepalives_interval": "5",
	"tcp_keepalives_count":    "3",
	"tcp_user_timeout":        "20000", // milliseconds
}

// Open connects to the slot and starts to read. Errors tell by errors.Is what
// to do: see the sentinels of this package.
func Open(ctx context.Context, o Options) (*Reader, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := dial(opening, &o)
	if err != nil {
		return nil, err
	}
	r, err := start(opening, conn, o)
	if err != nil {
		// The server ends the session when the connection ends: no error to tell.
		_ = conn.Close(opening)
		return nil, err
	}
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = stop
	go r.s.run(reading)
	return r, nil
}

func dial(ctx context.Context, o *Options) (*pgconn.PgConn, error) {
	cfg, err := pg.Config(o.URL, o.Application)
	if err != nil {
		return nil, err
	}
	maps.Copy(cfg.RuntimeParams, session)
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
	}
	cfg.DialFunc = dialer(cfg.ConnectTimeout)

	wished := wish(cfg)
	op := "connect for replication to " + pg.Target(cfg)
	conn, err := pgconn.ConnectConfig(ctx, &cfg.Config)
	if err != nil && refusedSetting(err) {
		for _, name := range wished {
			delete(cfg.RuntimeParams, name)
		}
		conn, err = pgconn.ConnectConfig(ctx, &cfg.Config)
	}
	if err != nil {
		return nil, connectError(op, err)
	}
	return conn, nil
}

// dialer makes connections that notice a dead peer, and can read in bulk.
func dialer(timeout time.Duration) pgconn.DialFunc {
	d := &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeer / 2, Interval: deadPeer / 6, Count: 3},
		Control:         prepare,
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		tcp, ok := conn.(*net.TCPConn)
		if !ok || err != nil {
			return conn, err
		}
		bulky, err := newConn(tcp)
		if err != nil {
			_ = tcp.Close()
			return nil, err
		}
		return bulky, nil
	}
}

// wish adds the wishes that the URL leaves open, and names them.
func wish(cfg *pgx.ConnConfig) []string {
	var names []string
	for name, value := range wishes {
		if _, set := cfg.RuntimeParams[name]; set || strings.Contains(cfg.RuntimeParams["options"], name) {
			continue
		}
		cfg.RuntimeParams[name] = value
		names = append(names, name)
	}
	return names
}

// refusedSetting tells whether a startup parameter may be why err came.
func refusedSetting(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Routine == "InitPostgres" {
		return false
	}
	switch e.Code {
	case "42704", "42501", "22023", "55P02", "08P01", "0A000":
		return true
	}
	return false
}

// start checks the slot and the publications and starts the stream.
func start(ctx context.Context, conn *pgconn.PgConn, o Options) (*Reader, error) {
	op := fmt.Sprintf("open slot %q", o.Slot)
	system, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	timeout, standbys, err := settle(ctx, conn)
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	slot, err := findSlot(ctx, conn, o.Slot)
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	if err := slot.check(o.Start, system.XLogPos); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if err := findPublications(ctx, conn, o.Publications); err != nil {
		return nil, err
	}
	args := []string{"proto_version '1'", "publication_names " + publicationNames(o.Publications)}
	err = pglogrepl.StartReplication(ctx, conn, `"`+o.Slot+`"`, o.Start,
		pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: args})
	if err != nil {
		return nil, startError(op, err, lost(ctx, conn, o.Slot))
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return nil, pg.Wrap(op, err)
	}
	r := newReader(o, hijacked, system.SystemID, max(o.Start, slot.confirmed), timeout)
	r.s.standby = named(standbys, o.Application)
	return r, nil
}

func newReader(o Options, c *pgconn.HijackedConn, system string, from pglogrepl.LSN, timeout time.Duration) *Reader {
	s := &stream{
		net: c.Conn, front: c.Frontend, o: o, every: o.StatusEvery, limit: silenceLimit, pause: pingPause,
		events: make(chan event, queueLength), free: make(chan *Change, queueLength), done: make(chan struct{}),
		received: from, queued: from,
	}
	if timeout > 0 {
		// The server asks for a status after half of its timeout.
		s.every, s.pause = min(s.every, timeout/3), min(s.pause, timeout/4)
	}
	s.acked.Store(uint64(from))
	s.asm = assembler{
		key: o.Key, emit: s.emit, take: s.take, relations: map[uint32]*Relation{},
		skipped: func(lsn pglogrepl.LSN) bool { return s.skip.Load() == uint64(lsn) },
		ignored: func(kind byte) {
			if s.ignored.Add(1) == 1 {
				o.Log.Warn("unknown message in the stream", "slot", o.Slot, "type", string(kind))
			}
		},
	}
	r := &Reader{s: s, system: system}
	r.advance(from)
	return r
}

// settle turns off a timeout that not every server has, and tells after how
// long a silence of ours the server hangs up (0 is never), and of which standbys a
// commit waits for.
func settle(ctx context.Context, conn *pgconn.PgConn) (timeout time.Duration, standbys string, err error) {
	const sql = `select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout';
		select setting, current_setting('synchronous_standby_names') from pg_settings where name = 'wal_sender_timeout'`
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return 0, "", err
	}
	if len(results) != 2 || len(results[1].Rows) != 1 {
		return 0, "", errors.New("the server does not know wal_sender_timeout")
	}
	row := results[1].Rows[0]
	millis, err := strconv.Atoi(string(row[0]))
	return time.Duration(millis) * time.Millisecond, string(row[1]), err
}

// found is what the replication connection sees of its slot.
type found struct {
	exists, usable bool
	walStatus      string
	confirmed      pglogrepl.LSN
}

func findSlot(ctx context.Context, conn *pgconn.PgConn, name string) (found, error) {
	sql := `select coalesce(plugin = 'pgoutput' and database = current_database(), false)::text,
		coalesce(wal_status, ''), coalesce(confirmed_flush_lsn, '0/0')::text
		from pg_replication_slots where slot_name = ` + literal(name)
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) == 0 {
		return found{}, err
	}
	row := results[0].Rows[0]
	lsn, err := pglogrepl.ParseLSN(string(row[2]))
	return found{exists: true, usable: string(row[0]) == "true", walStatus: string(row[1]), confirmed: lsn}, err
}

// lost tells, after the server has refused to start, whether the slot's WAL was
// removed since it was looked up.
func lost(ctx context.Context, conn *pgconn.PgConn, name string) bool {
	for { // the refused command is not over before this
		msg, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return false
		}
		if _, over := msg.(*pgproto3.ReadyForQuery); over {
			break
		}
	}
	slot, err := findSlot(ctx, conn, name)
	return err == nil && slot.walStatus == "lost"
}

// check tells why reading from the resume point cannot work, or would leave a
// gap that nobody sees: the server takes the later of the resume point and what
// was confirmed, and waits in silence for a resume point that lies ahead of it.
func (f found) check(resume, current pglogrepl.LSN) error {
	switch {
	case !f.exists:
		return ErrSlotMissing
	case f.walStatus == "lost":
		return ErrSlotLost
	case !f.usable:
		return errors.New("the slot belongs to another database or plugin: it must be made with pgoutput in this database")
	case resume != 0 && f.confirmed > resume:
		return fmt.Errorf("%w: the slot is confirmed up to %s, the log ends at %s, what lies between was not read", ErrDiverged, f.confirmed, resume)
	case resume > current:
		return fmt.Errorf("%w: the log ends at %s, the server's WAL at %s", ErrDiverged, resume, current)
	}
	return nil
}

// findPublications looks for each publication. Not every server refuses to
// start without one: the newer ones leave its tables out.
func findPublications(ctx context.Context, conn *pgconn.PgConn, names []string) error {
	for _, name := range names {
		op := fmt.Sprintf("find publication %q", name)
		results, err := conn.Exec(ctx, "select 1 from pg_publication where pubname = "+literal(name)).ReadAll()
		if err != nil {
			return pg.Wrap(op, err)
		}
		if len(results) != 1 || len(results[0].Rows) == 0 {
			return fmt.Errorf("%s: %w", op, ErrPublicationMissing)
		}
	}
	return nil
}
