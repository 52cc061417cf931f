package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"
)

// container starts a server in Docker. A test binary that is killed leaves it
// behind, with the label that is set here.
func (s *server) container(ctx context.Context) (string, func(context.Context) error, error) {
	pool, err := dockertest.NewPool("")
	if err != nil {
		return "", nil, fmt.Errorf("reach the Docker engine: %w", err)
	}
	done := pool.Client.HTTPClient.CloseIdleConnections
	if err := pool.Client.PingWithContext(ctx); err != nil {
		done()
		return "", nil, fmt.Errorf("reach the Docker engine: %w", err)
	}
	repository, tag := image()
	options := &dockertest.RunOptions{
		Repository:   repository,
		Tag:          tag,
		Env:          []string{"POSTGRES_HOST_AUTH_METHOD=trust", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C --no-sync"},
		Labels:       map[string]string{"sweeper": "pgtest"},
		PortBindings: map[docker.Port][]docker.PortBinding{"5432/tcp": {{HostIP: "127.0.0.1"}}},
	}
	all := allSettings()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		options.Cmd = append(options.Cmd, "-c", name+"="+all[name])
	}
	resource, err := pool.RunWithOptions(options, func(c *docker.HostConfig) { c.AutoRemove = true })
	if err != nil {
		done()
		return "", nil, fmt.Errorf("run %s:%s: %w", repository, tag, err)
	}
	stop := func(context.Context) error {
		defer done()
		return pool.Purge(resource)
	}
	base := "postgres://postgres@" + resource.GetHostPort("5432/tcp") + "/postgres?sslmode=disable"
	if err := answers(ctx, base); err != nil {
		return "", nil, errors.Join(fmt.Errorf("wait for %s:%s: %w", repository, tag, err), stop(ctx))
	}
	s.how = fmt.Sprintf("docker run %s:%s", repository, tag)
	return base, stop, nil
}

// answers returns when a connection can be made. The image's first start, while
// it fills the data directory, is not reachable from outside.
func answers(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, base)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
