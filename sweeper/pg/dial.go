package pg

import (
	"errors"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// deadPeer bounds how long this side believes in a peer that acknowledges
// nothing: neither what was sent, nor probes while nothing is sent.
const deadPeer = 20 * time.Second

// dialer makes connections that notice within 30 s when the peer has vanished
// without a word: a cable, a firewall that forgot the connection, a machine
// that lost its power. A peer that is there and merely silent is not noticed;
// that takes a deadline of whoever waits for its answer.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeer / 2, Interval: deadPeer / 4, Count: 3},
		Control:         detectDeadPeer,
	}
}

// wishes have the server notice in turn when we have vanished, and give back
// the locks of the session: while it sends or is idle by TCP, while it computes
// or waits for a lock by looking at the socket. Scans shall have no workers to help
// them: those are the application's, and its cores with them. A server or a pooler
// may refuse all that. What the URL says about them goes first.
var wishes = map[string]string{
	"tcp_keepalives_idle":              "10",    // seconds
	"tcp_keepalives_interval":          "5",     // seconds
	"tcp_keepalives_count":             "3",     // probes
	"tcp_user_timeout":                 "20000", // milliseconds
	"client_connection_check_interval": "5000",  // milliseconds
	"max_parallel_workers_per_gather":  "0",
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

// wishing connects with the wishes, and without them if one may have been
// refused.
func wishing(cfg *pgx.ConnConfig, connect func() error) error {
	names := wish(cfg)
	err := connect()
	if err == nil || !refusedSetting(err) {
		return err
	}
	plain := maps.Clone(cfg.RuntimeParams)
	for _, name := range names {
		delete(plain, name)
	}
	cfg.RuntimeParams = plain
	return connect()
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
