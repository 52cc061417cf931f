package sweeper

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	sweepersql "github.com/pgsweeper/sweeper/sql"
	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// SchemaVersion is the version of schema sweeper that this binary makes and
// needs: the number of its last migration.
const SchemaVersion = 12

// failoverSlots is the first major whose slots can follow to a standby.
const failoverSlots = 17

// writer collects the statements that are missing.
type writer struct {
	conn   *pgx.Conn
	cfg    Config
	set    policy.Set
	cat    *catalog.Catalog
	server server
	out    Installation
	fresh  bool // the roles do not exist yet

	granted map[string][]catalog.Name // by role, the tables that policies need it to reach
}

func (w *writer) add(why, sql string) {
	w.out.Statements = append(w.out.Statements, Statement{why, sql})
}

// schema writes roles, migrations, and functions and views when their text has
// changed.
func (w *writer) schema(ctx context.Context) error {
	installed, sum := 0, codeSum()
	var current []byte
	if w.server.schema != nil {
		installed = *w.server.schema
		err := w.conn.QueryRow(ctx, `select code_sha256 from sweeper.schema_version order by version desc limit 1`).Scan(&current)
		if err != nil {
			return pg.Wrap("read the version of schema sweeper", err)
		}
	}
	var missing int
	err := w.conn.QueryRow(ctx, `select count(*) from unnest('{sweeper_owner,sweeper_daemon,sweeper_logger,sweeper_operator,sweeper_auditor}'::text[]) r
		where to_regrole(r) is null`).Scan(&missing)
	if err != nil {
		return pg.Wrap("look for the roles", err)
	}
	w.fresh = missing > 0
	if installed == SchemaVersion && bytes.Equal(current, sum) {
		return nil
	}
	w.add("the roles", source("roles.sql"))
	if installed == 0 {
		if err := w.schemaIsFree(ctx); err != nil {
			return err
		}
		w.add("the schema", "CREATE SCHEMA IF NOT EXISTS sweeper AUTHORIZATION sweeper_owner;")
	}
	w.add("what follows belongs to sweeper_owner", "SET LOCAL ROLE sweeper_owner;\nSET LOCAL search_path = pg_catalog, pg_temp;")
	for i, name := range files("migrations") {
		if i+1 > installed {
			w.add(name, source(name))
		}
	}
	for _, name := range append(files("functions"), files("views")...) {
		w.add(name, source(name))
	}
	w.add("privileges", source("grants.sql"))
	w.add("the version", fmt.Sprintf("INSERT INTO sweeper.schema_version (version, code_sha256) VALUES (%d, '\\x%s')\nON CONFLICT (version) DO UPDATE SET code_sha256 = excluded.code_sha256, installed_at = now();",
		SchemaVersion, hex.EncodeToString(sum)))
	w.add("back to the installing role", "RESET ROLE;")
	return nil
}

func (w *writer) table(c policy.Category) *catalog.Table {
	return w.cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
}

// schemaIsFree refuses a schema sweeper of somebody else, who could replace
// what is installed into it.
func (w *writer) schemaIsFree(ctx context.Context) error {
	var owner string
	err := w.conn.QueryRow(ctx, `select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'sweeper'`).Scan(&owner)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || err == nil && owner == "sweeper_owner":
		return nil
	case err != nil:
		return pg.Wrap("look for schema sweeper", err)
	}
	return &SetupError{fmt.Sprintf("a schema sweeper exists already and belongs to %q", owner), "rename it, since sweeper needs a schema of its own"}
}

// addOwned adds a statement that only the owner of a table may run. Where the
// installing role is not that owner, it is left for the owner.
func (w *writer) addOwned(ctx context.Context, why, sql string, table catalog.Name) error {
	var mine bool
	var owner string
	err := w.conn.QueryRow(ctx, `select pg_has_role(current_user, c.relowner, 'usage'), pg_get_userbyid(c.relowner)
		from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2`, table.Schema, table.Relation).Scan(&mine, &owner)
	if err != nil {
		return pg.Wrap("look at the owner of "+table.String(), err)
	}
	if mine {
		w.add(why, sql)
		return nil
	}
	w.byOwner(fmt.Sprintf("%s belongs to %q", table, owner), sql)
	return nil
}

func (w *writer) byOwner(why, sql string) {
	if !slices.ContainsFunc(w.out.ByOwners, func(s Statement) bool { return s.SQL == sql }) {
		w.out.ByOwners = append(w.out.ByOwners, Statement{why, sql})
	}
}

// govern registers the categories, so that holds know the types of their
// columns before the first sweep.
func (w *writer) govern(ctx context.Context) error {
	list, err := governed(w.set, w.cat, nil)
	if err != nil {
		return err
	}
	if w.server.schema != nil {
		var same bool
		err := w.conn.QueryRow(ctx, `select count(*) = $1 and coalesce(bool_and(policy_sha256 = $2), $1 = 0) from sweeper.governed`, len(w.set.Categories), w.set.SHA256[:]).Scan(&same)
		if err != nil || same {
			return pg.Wrap("read sweeper.governed", err)
		}
	}
	w.add("the governed tables", fmt.Sprintf("SET LOCAL ROLE sweeper_owner;\nSELECT sweeper.govern(%s, '\\x%x');\nRESET ROLE;", quoteLiteral(string(list)), w.set.SHA256))
	return nil
}

// owners prints what lets partitions be dropped: the installed function runs
// as sweeper_owner, and only an owner may drop a table. That is a large grant,
// so it is theirs to make.
func (w *writer) owners(context.Context) error {
	seen := map[string]bool{}
	for _, c := range w.set.Categories {
		t := w.table(c)
		if c.Delete == nil || c.Partitions == "rows" || !plan.ByStart(t, c) || seen[t.Owner] {
			continue
		}
		seen[t.Owner] = true
		switch {
		case t.OwnerMember:
		case t.OwnerSuper:
			w.byOwner(fmt.Sprintf("lets due partitions of %s be dropped whole; without it they go by rows. %s belongs to superuser %q: better give it to a role of its own first (ALTER TABLE … OWNER TO …), since this lets sweeper_owner drop all that %[3]q owns",
				t.Name, t.Name, t.Owner), fmt.Sprintf("GRANT %s TO sweeper_owner;", catalog.Quote(t.Owner)))
		default:
			w.byOwner(fmt.Sprintf("lets due partitions of %s be dropped whole; without it they go by rows", t.Name),
				fmt.Sprintf("GRANT %s TO sweeper_owner;", catalog.Quote(t.Owner)))
		}
	}
	return nil
}

// stats lets the daemon see how far standbys and the slot are behind.
func (w *writer) stats(ctx context.Context) error {
	var has, super bool
	err := w.conn.QueryRow(ctx, `select exists (select from pg_auth_members m where m.roleid = 'pg_read_all_stats'::regrole and m.member = to_regrole('sweeper_daemon')),
		(select rolsuper from pg_roles where rolname = current_user)`).Scan(&has, &super)
	// Roles are shared by all databases: another install may be faster.
	const sql = "DO $$ BEGIN GRANT pg_read_all_stats TO sweeper_daemon; EXCEPTION WHEN unique_violation OR internal_error THEN NULL; END $$;"
	switch {
	case err != nil:
		return pg.Wrap("look at the privileges of sweeper_daemon", err)
	case !has && super:
		w.add("sweeper_daemon sees how far standbys are behind", sql)
	case !has:
		w.byOwner("lets sweeper_daemon see how far standbys are behind; a superuser has to grant it", sql)
	}
	return nil
}

func (w *writer) slot(ctx context.Context) error {
	status, err := wal.SlotStatus(ctx, w.conn, w.cfg.Slot)
	if err != nil {
		return err
	}
	if status.Exists && status.Database != w.server.database {
		return &SetupError{fmt.Sprintf("slot %q belongs to database %q", w.cfg.Slot, status.Database), "give this database a slot of its own with SWEEPER_SLOT"}
	}
	lost := status.WALStatus == "lost"
	if lost {
		w.add(fmt.Sprintf("slot %s has lost WAL that it still needed: it is of no use any more", w.cfg.Slot), fmt.Sprintf("SELECT pg_catalog.pg_drop_replication_slot('%s');", w.cfg.Slot))
	}
	if status.Exists && !status.Making && !lost {
		return nil
	}
	w.out.Slot, w.out.Failover = w.cfg.Slot, w.server.version >= failoverSlots
	return w.renew(ctx)
}

// renew allows a log that has begun to go on behind the gap that a new slot
// leaves.
func (w *writer) renew(ctx context.Context) error {
	if w.server.schema == nil {
		return nil
	}
	var begun bool
	err := w.conn.QueryRow(ctx, `select exists (select from sweeper.log_progress where slot = $1)`, w.cfg.Slot).Scan(&begun)
	if err != nil || !begun {
		return pg.Wrap("look for the purge log's progress", err)
	}
	w.add("the purge log goes on with the new slot, behind a gap that becomes an entry",
		fmt.Sprintf("SET LOCAL ROLE sweeper_owner;\nUPDATE sweeper.log_progress SET renewed_lsn = pg_current_wal_insert_lsn() WHERE slot = '%s';\nRESET ROLE;", w.cfg.Slot))
	return nil
}

// governed is the argument of sweeper.govern. A category whose table is gone
// keeps the one of former, by category, and is left out without one.
func governed(set policy.Set, cat *catalog.Catalog, former map[string]uint32) ([]byte, error) {
	list := []map[string]any{}
	for _, c := range set.Categories {
		name := catalog.Name{Schema: c.Schema, Relation: c.Relation}
		t := cat.Tables[name]
		if t == nil {
			if former[c.Name] == 0 {
				continue
			}
			t = &catalog.Table{OID: former[c.Name], Text: name.Quoted()}
		}
		row := map[string]any{
			"category": c.Name, "relation": t.OID, "relation_name": t.Text, "mode": c.Mode, "enabled": c.Enabled,
			"partitions": cmp.Or(c.Partitions, "drop"), "manifest": c.Manifest,
		}
		if col, ok := t.Column(c.Subject); ok {
			row["subject_column"], row["subject_type"] = col.Name, col.TypeOID
		}
		if col, ok := t.Column(c.Tenant); ok {
			row["tenant_column"], row["tenant_type"] = col.Name, col.TypeOID
		}
		if c.Delete != nil {
			row["retention"] = c.Delete.Interval()
		}
		if c.Redact != nil {
			row["redact_after"] = c.Redact.After.Interval()
		}
		if c.Start.Unit != "" {
			row["start_unit"] = c.Start.Unit
		}
		if c.Window.Min != nil {
			row["window_min"] = c.Window.Min.Interval()
		}
		if c.Window.Max != nil {
			row["window_max"] = c.Window.Max.Interval()
		}
		if len(c.Window.AllowedDays) > 0 {
			row["allowed_days"] = c.Window.AllowedDays
		}
		list = append(list, row)
	}
	return json.Marshal(list)
}

// quoteLiteral writes a text for SQL; standard_conforming_strings is on.
func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// source is one embedded file; a missing one is a mistake of the build.
func source(name string) string {
	b, err := fs.ReadFile(sweepersql.Files, name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func files(folder string) []string {
	names, err := fs.Glob(sweepersql.Files, folder+"/*.sql")
	if err != nil {
		panic(err)
	}
	return names // sorted
}

// codeSum tells whether functions, views and grants are those of this binary.
func codeSum() []byte {
	h := sha256.New()
	for _, name := range slices.Concat([]string{"roles.sql", "grants.sql"}, files("functions"), files("views")) {
		h.Write([]byte(source(name)))
	}
	return h.Sum(nil)
}
