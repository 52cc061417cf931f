// Package sample is the database that the demo sweeps: the applicants of an
// identity-verification service with their documents, reviews, biometrics and
// audit trail over eight years, in schema kyc. The sample policies in policies/
// are written for it.
//
// The same size and day give the same rows, made by the server from their
// numbers alone; nobody in it exists. Loading is one transaction: the schema is
// there whole or not at all. It never touches anything outside of schema kyc
// but for the role kyc_owner, which it makes if there is none.
package sample

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// The sizes that Load takes, in rows over all tables.
const (
	DefaultRows = 200_000
	MinRows     = 1_000 // below, some tables would have nothing due
	MaxRows     = 50_000_000
)

//go:embed kyc.sql
var script string

// Load makes schema kyc with rows rows, or up to five more, as of the start of
// the server's day in UTC. The role of conn is a superuser, and the schema must
// not exist.
func Load(ctx context.Context, conn *pgx.Conn, rows int) error {
	var today time.Time
	const query = `select date_trunc('day', now() at time zone 'UTC') at time zone 'UTC'`
	if err := conn.QueryRow(ctx, query).Scan(&today); err != nil {
		return pg.Wrap("ask the server for the date", err)
	}
	return load(ctx, conn, rows, today)
}

// load makes the sample as of a given instant.
func load(ctx context.Context, conn *pgx.Conn, rows int, asOf time.Time) error {
	if rows < MinRows || rows > MaxRows {
		return fmt.Errorf("load the sample: a size of %d rows is not possible, take %d to %d", rows, MinRows, MaxRows)
	}
	return pg.Wrap("load the sample", pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		const settings = `select set_config('kyc.rows', $1, true), set_config('kyc.as_of', $2, true)`
		if _, err := tx.Exec(ctx, settings, strconv.Itoa(rows), asOf.Format(time.RFC3339Nano)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, script)
		return err
	}))
}
