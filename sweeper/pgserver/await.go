package pgserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// await connects to u every few milliseconds until check passes, gives up
// after startTimeout or when alive reports that there is no hope, and returns
// the server's version.
func await(ctx context.Context, u string, check func(context.Context, *pgx.Conn) error, alive func() error) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("no answer in "+startTimeout.String()))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		version, err := ask(ctx, u, check)
		if err == nil || errors.Is(err, errPortTaken) {
			return version, err
		}
		if err := alive(); err != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for its answer: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// ask opens one connection, runs check on it and reads the server's version.
func ask(ctx context.Context, u string, check func(context.Context, *pgx.Conn) error) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, u)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if check != nil {
		if err := check(ctx, conn); err != nil {
			return "", err
		}
	}
	version, _, _ = strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
	return version, nil
}
