package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/httpd"
)

const (
	probeTimeout = 5 * time.Second
	probeLimit   = 64 << 10 // bytes of an answer
)

func newHealth(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the daemon on this machine how it is",
		Long: `Asks the daemon that listens on SWEEPER_HTTP_ADDR of this machine, and prints its
checks. Exit codes: 0 all is well, 1 purging is paused, 6 no daemon answers.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, _, err := a.load("health")
		if err != nil {
			return err
		}
		answer, err := probe(cmd.Context(), cfg.HTTPAddr)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(a.stdout, answer.checks); err != nil {
			return err
		}
		if !answer.ready {
			return &exitError{exitFailed, errors.New("purging is paused")}
		}
		return nil
	}
	return cmd
}

// health is what a daemon says of itself.
type health struct {
	ready  bool
	source string // the server and slot that it looks after
	checks string // one a line
}

// probe asks the daemon that listens on addr for its checks.
func probe(ctx context.Context, addr string) (health, error) {
	if addr == sweeper.HTTPOff {
		return health{}, &sweeper.ConfigError{Variable: "SWEEPER_HTTP_ADDR", Problem: "is off, so that no daemon can be asked; set it to what the daemon has"}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	url := "http://" + loopback(addr) + "/readyz?verbose"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return health{}, fmt.Errorf("ask the daemon: %w", err)
	}
	// A proxy of the environment knows nothing of this machine's own ports.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return health{}, &exitError{exitUnreachable, fmt.Errorf("no daemon answers at %s: %w", url, errors.Unwrap(err))}
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, probeLimit))
	switch {
	case err != nil:
		return health{}, &exitError{exitUnreachable, fmt.Errorf("read the daemon's answer from %s: %w", url, err)}
	case answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusServiceUnavailable:
		return health{}, &exitError{exitUnreachable, fmt.Errorf("what answers at %s is no sweeper: %s", url, answer.Status)}
	}
	return health{answer.StatusCode == http.StatusOK, answer.Header.Get(httpd.SourceHeader), cleanLines(string(body))}, nil
}

// loopback is where a daemon that listens on addr is reached from its own
// machine.
func loopback(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}
