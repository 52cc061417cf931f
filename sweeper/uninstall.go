package sweeper

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// Uninstall removes the slot first, since an abandoned slot fills the disk,
// then the publications, then the rest. With keepLog schema sweeper stays, with
// the purge log and what it refers to. Roles stay while another database of the
// server still uses them. It returns what was removed, in words.
func Uninstall(ctx context.Context, cfg Config, keepLog bool) ([]string, error) {
	conn, err := pg.Connect(ctx, cfg.InstallURL.Reveal(), "sweeper uninstall")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	s, err := inspect(ctx, conn)
	if err != nil {
		return nil, err
	}
	slot, err := wal.SlotStatus(ctx, conn, cfg.Slot)
	if err != nil {
		return nil, err
	}
	var done []string
	if slot.Exists && slot.Database == s.database {
		if err := wal.DropSlot(ctx, conn, cfg.Slot, "sweeper"); err != nil {
			return nil, err
		}
		done = append(done, "slot "+cfg.Slot)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := lockInstall(ctx, tx); err != nil {
			return err
		}
		removed, err := uninstall(ctx, tx, cfg, s, keepLog)
		done = append(done, removed...)
		return err
	})
	if err != nil || keepLog {
		return done, err
	}
	return append(done, dropRoles(ctx, conn)...), nil
}

func uninstall(ctx context.Context, tx pgx.Tx, cfg Config, s server, keepLog bool) ([]string, error) {
	var done []string
	exec := func(what, sql string) error {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return pg.Wrap("remove "+what, err)
		}
		done = append(done, what)
		return nil
	}
	for _, name := range []string{cfg.Publication, cfg.Publication + "_redact", cfg.Publication + "_stamp"} {
		var exists bool
		if err := tx.QueryRow(ctx, `select exists (select from pg_publication where pubname = $1)`, name).Scan(&exists); err != nil {
			return nil, pg.Wrap("look for publication "+name, err)
		}
		if exists {
			if err := exec("publication "+name, "DROP PUBLICATION "+catalog.Quote(name)); err != nil {
				return nil, err
			}
		}
	}
	if keepLog || s.schema == nil {
		return done, nil
	}
	return done, exec("schema sweeper", "DROP SCHEMA sweeper CASCADE")
}

// dropRoles takes away what the roles may do in this database, and drops those
// that no other database uses.
func dropRoles(ctx context.Context, conn *pgx.Conn) []string {
	var done []string
	for _, role := range []string{"sweeper_daemon", "sweeper_logger", "sweeper_operator", "sweeper_auditor", "sweeper_owner"} {
		if _, err := conn.Exec(ctx, "DROP OWNED BY "+role); err != nil {
			continue // it does not exist, or it is not ours to touch
		}
		if _, err := conn.Exec(ctx, "DROP ROLE "+role); err == nil {
			done = append(done, "role "+role)
		} else {
			done = append(done, fmt.Sprintf("privileges of role %s in this database", role))
		}
	}
	return done
}
