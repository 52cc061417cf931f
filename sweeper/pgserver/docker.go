package pgserver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const defaultImage = "postgres:18"

// runContainer starts a server with docker run. The image must behave like the
// official one: POSTGRES_HOST_AUTH_METHOD and POSTGRES_INITDB_ARGS in its
// environment, flags of postgres as its arguments.
func runContainer(ctx context.Context, o Options) (*Server, error) {
	image := cmp.Or(os.Getenv("SWEEPER_DEMO_IMAGE"), defaultImage)
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, absent("no docker command in PATH")
	}
	if _, err := docker(ctx, 5*time.Second, "version", "--format", "{{.Server.Version}}"); err != nil {
		return nil, absent("the Docker engine does not answer: %v", err)
	}
	if o.Standby {
		return nil, absent("a standby cannot be started with docker run")
	}
	if _, err := docker(ctx, 10*time.Second, "image", "inspect", image); err != nil {
		o.Log.InfoContext(ctx, "pulling the server's image", "image", image)
		if _, err := docker(ctx, 10*time.Minute, "pull", "--quiet", image); err != nil {
			return nil, absent("image %s cannot be had: %v", image, err)
		}
	}
	args := []string{
		"run", "--rm", "--detach", "--publish", "127.0.0.1::5432",
		"--env", "POSTGRES_HOST_AUTH_METHOD=trust",
		"--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C --lc-ctype=C.UTF-8 --no-sync",
		image,
	}
	id, err := docker(ctx, time.Minute, append(args, flags(o.settings())...)...)
	if err != nil {
		return nil, err
	}
	c := &container{id: id, image: image}
	s, err := c.ready(ctx)
	if err != nil {
		return nil, errors.Join(err, c.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// container is a server in a container that removes itself when it stops.
type container struct{ id, image string }

// ready waits until the server answers at the port that Docker published. The
// image's own first start, while it fills the data directory, listens on the
// Unix socket alone and is not taken for the server.
func (c *container) ready(ctx context.Context) (*Server, error) {
	logs := c.follow(ctx)
	defer logs.stop()
	host, err := docker(ctx, 10*time.Second, "port", c.id, "5432/tcp")
	if err != nil {
		return nil, fmt.Errorf("%w; its log ends with: %s", err, lastLines(logs.stop()))
	}
	host, _, _ = strings.Cut(host, "\n")
	s := &Server{
		host: host, how: "docker run " + c.image,
		manual: "docker stop " + c.id[:min(12, len(c.id))], stop: c.stop,
	}
	s.version, err = await(ctx, s.URL("postgres", Superuser), nil, func() error {
		if state, err := docker(ctx, 10*time.Second, "inspect", "--format", "{{.State.Running}}", c.id); err != nil || state != "true" {
			return errors.New("the container ended")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("docker run %s: %w; its log ends with: %s", c.image, err, lastLines(logs.stop()))
	}
	return s, nil
}

// stop stops the container, which removes it and its volume.
func (c *container) stop(ctx context.Context) error {
	_, err := docker(ctx, stopTimeout+10*time.Second, "stop", "--time", fmt.Sprint(int(stopTimeout.Seconds())), c.id)
	if err != nil {
		_, err = docker(context.WithoutCancel(ctx), 10*time.Second, "rm", "--force", "--volumes", c.id)
	}
	return err
}

// follower reads a container's log while it starts: a container that removes
// itself takes its log along.
type follower struct {
	cancel context.CancelFunc
	cmd    *exec.Cmd
	out    bytes.Buffer // ours after Wait
	text   string
}

func (c *container) follow(ctx context.Context) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel, cmd: exec.CommandContext(ctx, "docker", "logs", "--follow", c.id)}
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.out
	if f.cmd.Start() != nil {
		f.cmd = nil
	}
	return f
}

// stop ends the reading and returns what was read.
func (f *follower) stop() string {
	f.cancel()
	if f.cmd != nil {
		_ = f.cmd.Wait()
		f.text, f.cmd = f.out.String(), nil
	}
	return f.text
}

// docker runs one command of the docker client and returns its output.
func docker(ctx context.Context, limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, problem bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, lastLines(problem.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
