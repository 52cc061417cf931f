package wal

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
)

// DefaultStatusEvery is how often the server hears from us when
// [Options.StatusEvery] is zero.
const DefaultStatusEvery = 10 * time.Second

// Options say what to read and from where.
type Options struct {
	// URL of the database that the slot belongs to; the role needs REPLICATION
	// and no privilege on the tables. Settings that decide how values become
	// text are pinned whatever the URL says.
	URL string
	// Slot is the slot's name: lower-case letters, digits and underscores.
	Slot string
	// Publications must exist since before the slot was made.
	Publications []string
	// Start is the resume point: everything at or below it is already durable
	// in the log. 0 takes the slot's confirmed position.
	Start pglogrepl.LSN
	// Key names the key columns of a relation; nil takes the columns of the
	// replica identity in the relation's order.
	Key KeyFunc
	// Application is the application_name under which the server lists the
	// connection; empty is "sweeper".
	Application string
	// Log hears of unknown messages; nil is silence.
	Log *slog.Logger
	// StatusEvery is the longest silence towards the server, at most a third of
	// its wal_sender_timeout; zero is DefaultStatusEvery.
	StatusEvery time.Duration
}

// KeyFunc names the key columns of a relation in key order. identity holds the
// columns that the server flags as replica identity; under REPLICA IDENTITY
// FULL that is every column. It is called in the reader's goroutine, once for
// each description of a relation that the server sends, and gets 10 s.
type KeyFunc func(ctx context.Context, schema, table string, identity []string) ([]string, error)

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// complete checks o and fills in what may be left out.
func (o *Options) complete() error {
	if err := checkSlotName(o.Slot); err != nil {
		return err
	}
	if len(o.Publications) == 0 {
		return fmt.Errorf("open slot %q: no publication given, name at least one", o.Slot)
	}
	if o.Application == "" {
		o.Application = "sweeper"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.StatusEvery <= 0 {
		o.StatusEvery = DefaultStatusEvery
	}
	if o.Key == nil {
		o.Key = func(_ context.Context, _, _ string, identity []string) ([]string, error) { return identity, nil }
	}
	return nil
}

func checkSlotName(name string) error {
	if slotName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("slot name %q: write 1 to 63 lower-case letters, digits and underscores", name)
}

// publicationNames is the option's value: a list of quoted identifiers inside
// a string literal.
func publicationNames(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	return literal(strings.Join(quoted, ","))
}

// literal quotes s for statements of the replication connection, which takes
// no parameters. standard_conforming_strings is pinned on.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
