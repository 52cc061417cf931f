package pg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Class is what can be done about an error of the database.
type Class int

// The classes, by what the caller does next.
const (
	Fatal       Class = iota // the step cannot succeed: give it up, keep the reason
	Retry                    // do the same transaction again, after a pause
	Shrink                   // do it again with fewer rows
	Unreachable              // no connection: network, authentication, no such database
	Setup                    // the server is not set up for us: privilege, missing object
)

// Classify tells what can be done about err. It is the one place that knows
// SQLSTATE codes by class.
func Classify(err error) Class {
	code := SQLState(err)
	switch code {
	case "":
		return classifyTransport(err)
	case "55P03", "40001", "40P01": // lock not available, serialization, deadlock
		return Retry
	case "57014": // statement timeout
		return Shrink
	case "57P01", "57P02", "57P03", "53300", "3D000", "28000", "28P01":
		return Unreachable
	case "42501", "42P01", "3F000", "42883", "42703", "42704", "55000":
		return Setup
	}
	if strings.HasPrefix(code, "08") {
		return Unreachable
	}
	return Fatal
}

// Refused tells whether the server refused what a statement does to some row: a
// constraint, a trigger, a value out of range. A trigger may raise any code, so
// what is none is listed: features, transaction states, resources, limits,
// intervention, system and internal errors.
func Refused(err error) bool {
	code := SQLState(err)
	return code != "" && Classify(err) == Fatal && !slices.Contains([]string{"0A", "25", "53", "54", "57", "58", "XX"}, code[:2])
}

// NoRole tells whether a connection was refused because there is no such role, or
// because it may not log in. The text is in the server's language; other refusals
// have the same code, and come from elsewhere in the server.
func NoRole(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "28000" && e.Routine == "InitializeSessionUserId"
}

// Denied tells whether the server found a privilege missing, and not a function
// or a trigger, whose text says more.
func Denied(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "42501" && e.Routine != "exec_stmt_raise"
}

// ForeignKey tells whether a foreign key was violated.
func ForeignKey(err error) bool { return SQLState(err) == "23503" }

func classifyTransport(err error) Class {
	var connect *pgconn.ConnectError
	var dns *net.DNSError
	var network *net.OpError // not net.Error: every error number of the system is one
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return Fatal
	case errors.As(err, &connect), errors.As(err, &network), errors.As(err, &dns),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded),
		pgconn.Timeout(err), pgconn.SafeToRetry(err): // the last: a connection that was found closed
		return Unreachable
	}
	return Fatal
}

// SQLState returns the five-character code of a server error inside err, or "".
func SQLState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Error is a database error whose text is safe to print: what was attempted,
// and of the server's answer only what cannot hold a row's values.
type Error struct {
	Op  string
	err error
}

// Wrap names the operation op before err and hides what the server said about
// values. It returns nil for nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, err: err}
}

// WrapCall is Wrap for a call of one of sweeper's own SQL functions: what they
// raise about their arguments names objects and arguments, and is shown.
func WrapCall(op string, err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Routine == "exec_stmt_raise" && !strings.HasPrefix(e.Code, "P0") {
		text := fmt.Sprintf("%s: %s (SQLSTATE %s)", op, e.Message, e.Code)
		if e.Hint != "" {
			text += "; " + e.Hint
		}
		return &callError{text: text, err: err}
	}
	return Wrap(op, err)
}

// callError is what a function of ours said.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.err }

// Unwrap gives the driver's error to errors.As. Its own text is not safe to print.
func (e *Error) Unwrap() error { return e.err }

// Error prints the operation and the safe part of the server's answer.
func (e *Error) Error() string { return e.Op + ": " + safe(e.err) }

// safe tells what the server or the driver said, without any value. An error
// of ours below it is already safe.
func safe(err error) string {
	var own *Error
	if errors.As(err, &own) {
		return own.Error()
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return describe(server)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return transport(connect.Unwrap())
	}
	return transport(err)
}

// telling are the classes and codes whose messages name objects, settings and
// sessions, never values. The message of any other is dropped: data exceptions
// (22) and violations (23) quote the row, and so may what a function raises,
// under whatever code.
var telling = []string{"08", "0A", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "XX"}

// mends say what to do about a connection that the server refuses, by SQLSTATE.
var mends = map[string]string{
	"28P01": "give the right password in the URL, in PGPASSWORD or in the password file",
	"3D000": "check the database in the URL",
}

// describe renders a server error.
func describe(e *pgconn.PgError) string {
	if e.Routine != "exec_stmt_raise" && slices.ContainsFunc(telling, func(class string) bool { return strings.HasPrefix(e.Code, class) }) {
		text := fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
		if mend := mends[e.Code]; mend != "" {
			text += "; " + mend
		}
		return text
	}
	text := "refused by the server"
	if e.ConstraintName != "" {
		text += fmt.Sprintf(" on constraint %q", e.ConstraintName)
	}
	if e.TableName != "" {
		text += fmt.Sprintf(" of table %q", e.SchemaName+"."+e.TableName)
	}
	if e.ColumnName != "" {
		text += fmt.Sprintf(", column %q", e.ColumnName)
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", text, e.Code)
}

// transport renders errors of the network and the driver.
func transport(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var scan pgx.ScanArgError
	switch {
	case errors.As(err, &scan): // its own text quotes the value
		return fmt.Sprintf("column %d (%s) of the answer has an unexpected form", scan.ColumnIndex+1, scan.FieldName)
	case err == nil:
		return "no answer"
	case errors.As(err, &dns):
		return fmt.Sprintf("host %q does not resolve", dns.Name)
	case errors.As(err, &op) && errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("%s %s: %v; check host and port in the URL, and that PostgreSQL listens there", op.Op, op.Net, op.Err)
	case errors.As(err, &op):
		return fmt.Sprintf("%s %s: %v", op.Op, op.Net, op.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}
