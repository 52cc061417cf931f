package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Superuser is the name of the role that owns the cluster.
const Superuser = "postgres"

// startTimeout bounds the wait for a started server to answer.
const startTimeout = 60 * time.Second

// ErrNotFound means that no way to start a server is open on this machine.
var ErrNotFound = errors.New("no PostgreSQL 14 or newer can be started here: " +
	"install one (Debian: apt-get install postgresql; macOS: brew install postgresql@18), " +
	"or set SWEEPER_PG_BIN to a folder that holds initdb and postgres, " +
	"or start Docker (it runs the image of SWEEPER_DEMO_IMAGE, default " + defaultImage + "), " +
	"or give this machine internet access once, so that server binaries can be downloaded")

// Source is where a server may come from.
type Source int

// The sources, in the order in which Start tries them.
const (
	Binaries Source = iota // server binaries on the machine
	Docker                 // docker run
	Download               // server binaries from the internet, cached
)

// Options says what server to start. The zero value is a fast one for tests.
type Options struct {
	// Settings are configuration parameters, over those of Defaults.
	Settings map[string]string
	// Durable servers survive a crash of the machine. The others keep nothing
	// safe and are several times faster to write to.
	Durable bool
	// Standby starts the server in recovery, read-only. It follows the one of
	// the setting primary_conninfo, else nobody. Server binaries only.
	Standby bool
	// Slots has Copy take the replication slots along, as a snapshot of the
	// volume does; a base backup leaves them out.
	Slots bool
	// Port is where the server listens; 0 is a free port.
	Port int
	// Keep leaves the server running when this process ends without Stop.
	Keep bool
	// Dir is the parent of the server's folder; "" is the system's folder for
	// temporary files. Started by root, the server's user must reach it.
	Dir string
	// BinDir is the folder of initdb and postgres; "" is SWEEPER_PG_BIN, else
	// they are looked for.
	BinDir string
	// Sources limits where the server may come from; nil is all, in order.
	Sources []Source
	// Log is told what was tried; nil is nobody.
	Log *slog.Logger
}

// Server is a running throw-away PostgreSQL.
type Server struct {
	host      string // with port
	version   string
	how       string
	pid       int
	socketDir string   // "" for none
	manual    string   // a shell command that stops it
	cluster   *cluster // nil in a container
	stop      func(ctx context.Context) error
	once      sync.Once
	stopped   error
}

// Start starts a server and returns when it answers, at most a minute after
// its start (downloads and pulls of images take what they take). The error is
// ErrNotFound when there is nothing to start.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Sources == nil {
		o.Sources = []Source{Binaries, Docker, Download}
	}
	var tried []string
	for _, from := range o.Sources {
		s, err := from.start(ctx, o)
		var absent *absentError
		switch {
		case err == nil:
			o.Log.DebugContext(ctx, "throw-away server started", "how", s.how, "version", s.version, "address", s.host)
			return s, nil
		case ctx.Err() != nil: // what then looks absent may not be
			return nil, fmt.Errorf("start a throw-away server: %w", context.Cause(ctx))
		case !errors.As(err, &absent):
			return nil, fmt.Errorf("start a throw-away server: %w", err)
		}
		o.Log.DebugContext(ctx, "no server from this source", "err", err)
		tried = append(tried, err.Error())
	}
	return nil, fmt.Errorf("start a throw-away server: %w (%s)", ErrNotFound, strings.Join(tried, "; "))
}

func (f Source) start(ctx context.Context, o Options) (*Server, error) {
	find := installed
	switch f {
	case Binaries:
	case Docker:
		return runContainer(ctx, o)
	case Download:
		find = downloaded
	}
	b, err := find(ctx, o)
	if err != nil {
		return nil, err
	}
	return b.start(ctx, o)
}

// absentError says that a source has nothing to offer on this machine, so that
// the next one is tried. Any other error of a source ends Start: a server that
// was found and did not come up is worth a look, not a detour.
type absentError struct{ reason string }

func (e *absentError) Error() string { return e.reason }

func absent(format string, args ...any) error {
	return &absentError{reason: fmt.Sprintf(format, args...)}
}

// URL is where user reaches database over TCP.
func (s *Server) URL(database, user string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(user), Host: s.host,
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// SocketURL is where user reaches database over the Unix socket, or "" when
// the server has none that this machine can reach.
func (s *Server) SocketURL(database, user string) string {
	if s.socketDir == "" {
		return ""
	}
	_, port, _ := strings.Cut(s.host, ":")
	query := url.Values{"host": {s.socketDir}, "port": {port}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + database, RawQuery: query.Encode()}
	return u.String()
}

// Port is the TCP port of the server, on 127.0.0.1.
func (s *Server) Port() int {
	_, text, _ := strings.Cut(s.host, ":")
	port, _ := strconv.Atoi(text)
	return port
}

// Version is the server's version without its packager's words: "15.18".
func (s *Server) Version() string { return s.version }

// How tells where the server came from: "server binaries in
// /usr/lib/postgresql/15/bin", "docker run postgres:18".
func (s *Server) How() string { return s.how }

// Pid is the process id of the postmaster, or 0 when it is in a container.
func (s *Server) Pid() int { return s.pid }

// Crash ends a server of this machine at once and without a checkpoint, as
// pg_ctl -m immediate does, and returns when it is gone. What was not flushed
// is lost; Restart recovers the rest.
func (s *Server) Crash() error {
	if s.cluster == nil {
		return fmt.Errorf("crash the server: it is in a container")
	}
	s.cluster.process.kill()
	return nil
}

// Restart starts a server that Crash has ended again, on the same data and
// port, and returns when it answers. It is not for use beside Stop or Pid.
func (s *Server) Restart(ctx context.Context) error {
	if s.cluster == nil {
		return fmt.Errorf("restart the server: it is in a container")
	}
	if err := s.cluster.launchAt(ctx, s.cluster.port); err != nil {
		return fmt.Errorf("restart the server: %w", err)
	}
	s.pid, s.manual = s.cluster.process.pid, s.cluster.manual()
	return nil
}

// StopCommand is a shell command that does what Stop does, for a server that
// outlives this process.
func (s *Server) StopCommand() string { return s.manual }

// Stop shuts the server down, breaking its connections, and removes its folder
// or container. It takes at most a few seconds more than ctx allows, for the
// server is killed then. Later calls return what the first one did.
func (s *Server) Stop(ctx context.Context) error {
	s.once.Do(func() { s.stopped = s.stop(ctx) })
	return s.stopped
}
