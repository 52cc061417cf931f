package sweeper

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// Hold is what sweeper.apply_hold takes; nil is NULL.
type Hold struct {
	Subject, Tenant, Category, Relation *string
	Reason, Reference, Actor            *string
	ExpiresAt                           *time.Time
}

// LegalHold is a row of sweeper.legal_holds. It names a subject, and is shown
// to whoever asked for it and nowhere else.
type LegalHold struct {
	ID         int64      `json:"hold_id" db:"hold_id"`
	Subject    *string    `json:"subject"`
	Tenant     *string    `json:"tenant"`
	Category   *string    `json:"category"`
	Relation   *string    `json:"relation"`
	Reason     string     `json:"reason"`
	Reference  *string    `json:"reference"`
	AppliedBy  string     `json:"applied_by"`
	AppliedAt  time.Time  `json:"applied_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	ReleasedAt *time.Time `json:"released_at"`
	ReleasedBy *string    `json:"released_by"`
}

// operate connects as whoever the environment names; what may be called is the
// database's to decide. as is the role that would do, warn hears the server's
// warnings; nil does not.
func (c Config) operate(ctx context.Context, name, as string, warn func(string)) (*pgx.Conn, error) {
	conn, _, err := c.open(ctx, c.DatabaseURL, name, as, func(server) error { return nil }, pg.OnWarning(warn))
	return conn, err
}

// ApplyHold places a legal hold and returns its id.
func ApplyHold(ctx context.Context, cfg Config, h Hold, warn func(string)) (id int64, err error) {
	conn, err := cfg.operate(ctx, "sweeper hold", roleOperator, warn)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = conn.QueryRow(ctx, `select sweeper.apply_hold($1, $2, $3, $4, $5, $6, $7::text::regclass, $8)`,
		h.Subject, h.Reason, h.Actor, h.Reference, h.Category, h.Tenant, h.Relation, h.ExpiresAt).Scan(&id)
	return id, pg.WrapCall("apply the hold", err)
}

// ReleaseHold ends a legal hold.
func ReleaseHold(ctx context.Context, cfg Config, id int64, reason, actor *string) error {
	conn, err := cfg.operate(ctx, "sweeper hold", roleOperator, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, `select sweeper.release_hold($1, $2, $3)`, id, reason, actor)
	return pg.WrapCall("release the hold", err)
}

// Holds lists the holds in force; with all, released and expired ones too.
func Holds(ctx context.Context, cfg Config, all bool) ([]LegalHold, error) {
	conn, err := cfg.operate(ctx, "sweeper hold", roleOperator, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `
		select hold_id, subject, tenant, category, relation::text, reason, reference, applied_by, applied_at, expires_at, released_at, released_by
		  from sweeper.legal_holds
		 where $1 or (released_at is null and (expires_at is null or expires_at > now())) order by hold_id`, all)
	if err != nil {
		return nil, pg.Wrap("list the holds", err)
	}
	holds, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LegalHold])
	return holds, pg.Wrap("list the holds", err)
}

// Approve lets a run that waits for it go on. said hears what was approved; nil does
// not.
func Approve(ctx context.Context, cfg Config, category, hash string, actor, reason *string, said func(string)) error {
	conn, _, err := cfg.open(ctx, cfg.DatabaseURL, "sweeper approve", roleOperator, func(server) error { return nil }, pg.OnNotice(said))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Whatever the database sets: what was approved is said by a notice.
		if _, err := tx.Exec(ctx, `set local client_min_messages = notice`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `select sweeper.approve_run($1, $2, $3, $4)`, category, hash, actor, reason)
		return err
	})
	return pg.WrapCall("approve the run", err)
}
