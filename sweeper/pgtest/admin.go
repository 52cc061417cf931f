package pgtest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// createDatabase copies a template. PostgreSQL copies one at a time well, and
// many at once badly.
func (s *server) createDatabase(ctx context.Context, name, template string) error {
	s.create.Lock()
	defer s.create.Unlock()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if _, err := s.admin.Exec(ctx, "create database "+quote(name)+" template "+quote(template)); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// dropDatabase ends every session of the database, walsenders included, drops
// its slots once they are inactive (an active slot cannot be dropped, and one
// slot keeps the database), its roles, and then itself.
func (s *server) dropDatabase(ctx context.Context, name string) error {
	if _, err := s.admin.Exec(ctx, "alter database "+quote(name)+" allow_connections false"); err != nil {
		return fmt.Errorf("close database %s: %w", name, err)
	}
	if err := s.dropSlots(ctx, name); err != nil {
		return err
	}
	if _, err := s.admin.Exec(ctx, "drop database "+quote(name)+" with (force)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return s.dropRoles(ctx, name)
}

// dropSlots ends the sessions of a database that accepts no new ones, and
// drops its slots as they come free.
func (s *server) dropSlots(ctx context.Context, name string) error {
	const end = `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()
		union all
		select pg_terminate_backend(active_pid) from pg_replication_slots where database = $1 and active_pid is not null`
	const drop = `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1 and not active`
	const left = `select count(*) from pg_replication_slots where database = $1`
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		if _, err = s.admin.Exec(ctx, end, name); err == nil {
			// A slot can become active between the look and the drop, when its
			// reader was about to connect; the next round ends that session.
			_, _ = s.admin.Exec(ctx, drop, name)
		}
		var slots int
		if err == nil {
			err = s.admin.QueryRow(ctx, left, name).Scan(&slots)
		}
		if err != nil {
			return fmt.Errorf("drop the slots of database %s: %w", name, err)
		}
		if slots == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drop the slots of database %s: %d still in use: %w", name, slots, ctx.Err())
		case <-tick.C:
		}
	}
}

// dropRoles drops the roles that are named after the database. With the
// database gone nothing in it depends on them any more.
func (s *server) dropRoles(ctx context.Context, name string) error {
	rows, _ := s.admin.Query(ctx, `select rolname from pg_roles where starts_with(rolname, $1 || '_')`, name)
	roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the roles of database %s: %w", name, err)
	}
	for _, role := range roles {
		if _, err := s.admin.Exec(ctx, "drop role "+quote(role)); err != nil {
			return fmt.Errorf("drop role %s: %w", role, err)
		}
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
