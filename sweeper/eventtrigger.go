package sweeper

import (
	"context"
	"fmt"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// eventTriggers note what others do to governed tables without a row in the
// write-ahead log. ENABLE ALWAYS, so that session_replication_role does not pass
// by them.
var eventTriggers = []struct{ name, event, function string }{
	{"sweeper_note_drop", "sql_drop", "sweeper.note_drop"},
	{"sweeper_note_ddl", "ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE PUBLICATION', 'ALTER PUBLICATION')", "sweeper.note_ddl"},
}

// eventTriggers writes those that are missing. Only a superuser may make one;
// without them the purge log finds drops by comparison.
func (w *writer) eventTriggers(ctx context.Context) error {
	var super bool
	if err := w.conn.QueryRow(ctx, `select rolsuper from pg_roles where rolname = current_user`).Scan(&super); err != nil {
		return pg.Wrap("look at the installing role", err)
	}
	for _, e := range eventTriggers {
		var there bool
		err := w.conn.QueryRow(ctx, `
			select exists (select from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid join pg_namespace n on n.oid = p.pronamespace
			                where e.evtname = $1 and e.evtenabled = 'A' and n.nspname || '.' || p.proname = $2)`, e.name, e.function).Scan(&there)
		if err != nil {
			return pg.Wrap("look for event trigger "+e.name, err)
		}
		if there {
			continue
		}
		sql := fmt.Sprintf("DROP EVENT TRIGGER IF EXISTS %s;\nCREATE EVENT TRIGGER %[1]s ON %s EXECUTE FUNCTION %s();\nALTER EVENT TRIGGER %[1]s ENABLE ALWAYS;", e.name, e.event, e.function)
		if super {
			w.add("what others drop, detach or take out of a publication is noted at once", sql)
		} else {
			w.byOwner("has what others drop, detach or take out of a publication noted at once, with its LSN; without it the purge log finds it by comparison, a few seconds later. A superuser has to run it", sql)
		}
	}
	return nil
}

// eventTriggers removes them where the role may; with the schema they go anyway.
func (u *remover) eventTriggers(ctx context.Context) error {
	for _, e := range eventTriggers {
		var there bool
		err := u.conn.QueryRow(ctx, `select exists (select from pg_event_trigger e join pg_roles r on r.rolname = current_user
			where e.evtname = $1 and (r.rolsuper or pg_has_role(e.evtowner, 'usage')))`, e.name).Scan(&there)
		if err != nil {
			return pg.Wrap("look for event trigger "+e.name, err)
		}
		if !there {
			continue
		}
		if err := u.exec(ctx, "event trigger "+e.name, "DROP EVENT TRIGGER "+e.name); err != nil {
			return err
		}
	}
	return nil
}
