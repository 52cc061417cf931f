package sweeper

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/httpd"
)

// serve answers probes until ctx ends.
func (d *daemon) serve(ctx context.Context) error {
	if d.cfg.HTTPAddr == HTTPOff {
		<-ctx.Done()
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.cfg.HTTPAddr)
	if err != nil {
		return &ConfigError{"SWEEPER_HTTP_ADDR", fmt.Sprintf("cannot listen there (%v); name an address that is free, or off", err)}
	}
	return httpd.Serve(ctx, listener, httpd.Options{State: d.health.state, Metrics: d.health.metrics().registry, Log: d.log})
}

// state is the health as the pages show it.
func (h *Health) state() httpd.State {
	r := h.Report()
	s := httpd.State{At: r.At, Source: r.Facts.Source}
	s.Ready, _ = r.Purging()
	for _, c := range r.Checks {
		s.Checks = append(s.Checks, httpd.Check{Name: c.Name, OK: c.OK, Why: Printable(c.Why)})
	}
	if !r.Facts.ServerTime.IsZero() {
		s.Facts = []httpd.Fact{
			{Name: "entries", Text: strconv.FormatInt(r.Facts.Entries, 10)},
			{Name: "of these, mismatches and gaps", Text: fmt.Sprintf("%d and %d", r.Facts.Mismatches, r.Facts.Gaps)},
			{Name: "behind the write-ahead log", Text: fmt.Sprintf("%d bytes, %.0f s", r.Facts.LagBytes, r.Facts.LagSeconds)},
			{Name: "slot " + r.Facts.Slot + " holds back", Text: fmt.Sprintf("%d bytes", r.Facts.SlotRetained)},
			{Name: "the slot is read by", Text: reader(r.Facts)},
		}
	}
	for _, c := range r.Categories {
		mode := c.Mode
		if !c.Enabled {
			mode = "off"
		}
		s.Categories = append(s.Categories, httpd.Category{
			Name: c.Category, Table: Printable(c.Table), Mode: mode, State: orDash(c.LastState), LastSweep: moment(c.LastSweep), NextSweep: moment(c.NextSweep),
			Due: number(c.Due), Held: number(c.Held), Blocked: number(c.Blocked), Reason: Printable(orDash(c.StopReason)),
		})
	}
	return s
}

func reader(f Facts) string {
	switch {
	case f.Leader:
		return "this process"
	case f.ReaderPID != 0:
		return "another process"
	}
	return "nobody"
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}

func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.DateTime)
}

func number(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}
