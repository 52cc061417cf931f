package wal

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// What can stand in the way of reading a slot. Errors of the network and of a
// server that ends the connection have no sentinel: pg.Classify calls them
// Unreachable, and opening again resumes.
var (
	ErrSlotBusy           = errors.New("another connection reads the slot: stop it, or wait until the server has ended it")
	ErrSlotMissing        = errors.New("the slot does not exist: create it, what was committed in between is lost to it")
	ErrSlotLost           = errors.New("the server has removed WAL that the slot still needed: drop the slot and create it anew")
	ErrPublicationMissing = errors.New("the publication does not exist at the slot's position: create the publications first, then the slot")
	ErrNotReplication     = errors.New("the role may not replicate: ALTER ROLE … REPLICATION")
	ErrPooler             = errors.New("a pooler stands before the server and knows no replication: SWEEPER_REPLICATION_URL has to lead to the server itself")
	ErrDiverged           = errors.New("the resume point does not lie on this server's WAL")
	ErrOutOfOrder         = errors.New("the stream breaks the order of transactions")
	ErrUnread             = errors.New("the transaction before has not been read to its end")
	ErrClosed             = errors.New("the reader is closed")
)

// endedError tells why the stream is over without an error of the server or
// the network. It counts as a lost connection.
type endedError string

func (e endedError) Error() string { return string(e) }
func (endedError) Unwrap() error   { return io.ErrUnexpectedEOF }

// errEnded is a server that ends the stream by itself, as when it shuts down.
const errEnded = endedError("the server ends the stream")

// notEOF makes sure that no end of the stream, whatever caused it, looks like
// io.EOF: that means a transaction read in full.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", err.Error(), io.ErrUnexpectedEOF)
	}
	return err
}

// because adds the reason that callers branch on to what the server said.
func because(op string, err, reason error) error {
	return fmt.Errorf("%w: %w", pg.Wrap(op, err), reason)
}

// connectError tells a role without REPLICATION from the other refusals. Only
// the routine that raised it does, in whatever language the server speaks: a
// missing CONNECT privilege has the same SQLSTATE.
func connectError(op string, err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "42501" && e.Routine == "InitPostgres" {
		return because(op, err, ErrNotReplication)
	}
	// No server refuses a startup parameter so, and this one every server knows.
	if e != nil && e.Code == "08P01" && strings.Contains(e.Message, "replication") {
		return because(op, err, ErrPooler)
	}
	return pg.Wrap(op, err)
}

// startError explains why the server refused START_REPLICATION. lost tells
// whether the slot's WAL is gone: 55000 has other meanings too.
func startError(op string, err error, lost bool) error {
	switch pg.SQLState(err) {
	case "55006":
		return because(op, err, ErrSlotBusy)
	case "42704":
		return because(op, err, ErrSlotMissing)
	case "55000":
		if lost {
			return because(op, err, ErrSlotLost)
		}
	}
	return pg.Wrap(op, err)
}

// streamError explains an error that the server sent in the stream.
func streamError(op string, e *pgconn.PgError, publications []string) error {
	if e.Code == "42704" && namesOne(e.Message, publications) {
		return because(op, e, ErrPublicationMissing)
	}
	return pg.Wrap(op, e)
}

// namesOne tells whether text, in whatever language, names one of the objects.
func namesOne(text string, names []string) bool {
	for _, n := range names {
		if strings.Contains(text, n) {
			return true
		}
	}
	return false
}
