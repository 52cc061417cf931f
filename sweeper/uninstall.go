package sweeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// Uninstall removes the slot first, since an abandoned slot fills the disk,
// then the publications, then the rest. With keepLog schema sweeper stays, with
// the purge log and what it refers to, and with the roles that own and read it;
// the others lose what they may do. Roles stay while another database of the
// server still uses them. It returns what was removed, in words.
func Uninstall(ctx context.Context, cfg Config, keepLog bool) ([]string, error) {
	conn, err := connect(ctx, cfg.InstallURL, "sweeper uninstall")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	s, err := inspect(ctx, conn)
	if err == nil {
		err = s.seen(roleOwner)
	}
	if err != nil {
		return nil, err
	}
	slot, err := wal.SlotStatus(ctx, conn, cfg.Slot)
	if err != nil {
		return nil, err
	}
	u := &remover{conn: conn}
	if slot.Exists && slot.Database == s.database {
		if err := wal.DropSlot(ctx, conn, cfg.Slot, "sweeper"); err != nil {
			return nil, err
		}
		u.done = append(u.done, "slot "+cfg.Slot)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := lockInstall(ctx, tx); err != nil {
			return err
		}
		return u.database(ctx, cfg, s, keepLog)
	})
	if err != nil {
		return u.done, err
	}
	return u.done, u.roles(ctx, keepLog)
}

// remover removes, and remembers in words what it removed.
type remover struct {
	conn *pgx.Conn
	done []string
}

func (u *remover) exec(ctx context.Context, what, sql string) error {
	if _, err := u.conn.Exec(ctx, sql); err != nil {
		return pg.Wrap("remove "+what, err)
	}
	u.done = append(u.done, what)
	return nil
}

// database removes what belongs to this database alone.
func (u *remover) database(ctx context.Context, cfg Config, s server, keepLog bool) error {
	for _, name := range []string{cfg.Publication, cfg.Publication + "_redact", cfg.Publication + "_stamp"} {
		var exists bool
		if err := u.conn.QueryRow(ctx, `select exists (select from pg_publication where pubname = $1)`, name).Scan(&exists); err != nil {
			return pg.Wrap("look for publication "+name, err)
		}
		if exists {
			if err := u.exec(ctx, "publication "+name, "DROP PUBLICATION "+catalog.Quote(name)); err != nil {
				return err
			}
		}
	}
	if err := u.eventTriggers(ctx); err != nil {
		return err
	}
	if _, owner, err := restrictedViews(ctx, u.conn); err != nil {
		return err
	} else if owner == "sweeper_owner" {
		if err := u.exec(ctx, "schema "+plan.RestrictedSchema, "DROP SCHEMA "+plan.RestrictedSchema+" CASCADE"); err != nil {
			return err
		}
	}
	switch {
	case s.schema == nil:
		return nil
	case !keepLog:
		return u.exec(ctx, "schema sweeper", "DROP SCHEMA sweeper CASCADE")
	}
	// The owner's own reach ends at the log; another install writes all
	// privileges anew, since it no longer finds its own version.
	tables, err := grantedTables(ctx, u.conn, "sweeper_owner")
	if err != nil {
		return err
	}
	for _, n := range tables {
		if err := u.exec(ctx, "privileges on "+n.String(), fmt.Sprintf("REVOKE ALL ON %s FROM sweeper_owner", n.Quoted())); err != nil {
			return err
		}
	}
	_, err = u.conn.Exec(ctx, `UPDATE sweeper.schema_version SET code_sha256 = ''`)
	return pg.Wrap("mark schema sweeper as uninstalled", err)
}

// roles takes away what the roles may do in this database, and drops those
// that no other database uses.
func (u *remover) roles(ctx context.Context, keepLog bool) error {
	all := []string{"sweeper_daemon", "sweeper_logger", "sweeper_operator", "sweeper_auditor", "sweeper_owner"}
	if keepLog {
		all = slices.DeleteFunc(all, func(r string) bool { return r == "sweeper_auditor" || r == "sweeper_owner" })
	}
	var failed []error
	for _, role := range all {
		var exists, acts bool
		err := u.conn.QueryRow(ctx, `select to_regrole($1) is not null, coalesce(pg_has_role(current_user, to_regrole($1)::oid, 'usage'), false)`, role).Scan(&exists, &acts)
		if err != nil {
			return pg.Wrap("look for role "+role, err)
		}
		if !exists {
			continue
		}
		if err = u.owns(ctx, role); err == nil {
			err = u.role(ctx, role, acts)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// owns refuses a role that owns anything in this database after what was
// installed is gone: DROP OWNED would drop that too, and it is not ours.
func (u *remover) owns(ctx context.Context, role string) error {
	var object *string
	err := u.conn.QueryRow(ctx, `
		select min(pg_describe_object(s.classid, s.objid, s.objsubid))
		  from pg_shdepend s join pg_database d on d.oid = s.dbid and d.datname = current_database()
		 where s.refclassid = 'pg_authid'::regclass and s.refobjid = to_regrole($1)::oid and s.deptype = 'o'`, role).Scan(&object)
	if err != nil {
		return pg.Wrap("look for what role "+role+" owns", err)
	}
	if object != nil {
		return &SetupError{fmt.Sprintf("role %s owns %s, which is not part of sweeper", role, *object), "give it to another role, and uninstall again"}
	}
	return nil
}

// role drops one role. Only who acts for it may take its privileges away; one
// that may create roles makes itself a member for as long as that takes. What
// other owners have granted is theirs, or a superuser's, to take back.
func (u *remover) role(ctx context.Context, role string, acts bool) error {
	if !acts {
		if _, err := u.conn.Exec(ctx, "GRANT "+role+" TO CURRENT_USER"); err != nil {
			return stays(role, err)
		}
	}
	_, err := u.conn.Exec(ctx, "DROP OWNED BY "+role)
	if err == nil {
		err = u.kept(ctx, role)
	}
	if err != nil {
		err = stays(role, err)
	} else {
		_, err = u.conn.Exec(ctx, "DROP ROLE "+role)
		if err == nil {
			u.done = append(u.done, "role "+role)
			return nil
		}
		if state := pg.SQLState(err); state == "2BP01" || state == "42501" { // another database uses it; it is not ours to drop
			u.done = append(u.done, fmt.Sprintf("privileges of role %s in this database", role))
			err = nil
		}
		err = pg.Wrap("remove role "+role, err)
	}
	if acts {
		return err
	}
	_, left := u.conn.Exec(ctx, "REVOKE "+role+" FROM CURRENT_USER")
	return errors.Join(err, pg.Wrap("leave role "+role, left))
}

// kept tells of privileges that are left after DROP OWNED: of a table that the
// installing role may read, the server only warns that it could not take them.
func (u *remover) kept(ctx context.Context, role string) error {
	tables, err := grantedTables(ctx, u.conn, role)
	if err != nil || len(tables) == 0 {
		return err
	}
	return fmt.Errorf("those on %s are its owner's to take back", tables[0])
}

func stays(role string, err error) error {
	return fmt.Errorf("%w; a superuser runs: DROP OWNED BY %s; DROP ROLE %[2]s;", pg.Wrap("remove the privileges of role "+role, err), role)
}
