package sweeper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
const SchemaVersion = 1

// writer collects the statements that are missing.
type writer struct {
	conn   *pgx.Conn
	cfg    Config
	set    policy.Set
	cat    *catalog.Catalog
	server server
	out    Installation
	fresh  bool // the roles do not exist yet
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

// publications writes the three of them: deletes of every governed table,
// updates too where a category redacts, and the inserts of the stamps. They
// come before the slot, which else could never read them.
func (w *writer) publications(ctx context.Context) error {
	want := map[string]map[string]string{w.cfg.Publication: {}, w.cfg.Publication + "_redact": {}}
	for _, c := range w.set.Categories {
		t := w.table(c)
		if p := plan.Publication(c, w.set, w.cfg.Publication); w.owned(ctx, t, plan.PublishSQL(p, t)) {
			want[p][t.Name.Quoted()] = w.columnList(t, p)
		}
	}
	publish := map[string]string{w.cfg.Publication: "delete, truncate", w.cfg.Publication + "_redact": "update, delete, truncate", w.cfg.Publication + "_stamp": "insert"}
	want[w.cfg.Publication+"_stamp"] = map[string]string{`"sweeper"."batches"`: ""}
	for _, name := range []string{w.cfg.Publication, w.cfg.Publication + "_redact", w.cfg.Publication + "_stamp"} {
		if err := w.publication(ctx, name, publish[name], want[name]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) publication(ctx context.Context, name, publish string, want map[string]string) error {
	var exists bool
	if err := w.conn.QueryRow(ctx, `select exists (select from pg_publication where pubname = $1)`, name).Scan(&exists); err != nil {
		return pg.Wrap("look for publication "+name, err)
	}
	quoted := catalog.Quote(name)
	if !exists {
		w.add("publication "+name, fmt.Sprintf("CREATE PUBLICATION %s WITH (publish = '%s', publish_via_partition_root = false);", quoted, publish))
	}
	have, err := w.members(ctx, name)
	if err != nil {
		return err
	}
	for _, table := range sorted(have) {
		if columns, wanted := want[table]; !wanted || columns != have[table] {
			w.add("publication "+name, fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s;", quoted, table))
			delete(have, table)
		}
	}
	for _, table := range sorted(want) {
		if _, there := have[table]; !there {
			w.add("publication "+name, fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s%s;", quoted, table, want[table]))
		}
	}
	return nil
}

// members are the tables of a publication, quoted, with their column lists as
// columnList writes them.
func (w *writer) members(ctx context.Context, name string) (map[string]string, error) {
	columns := `''`
	if w.server.version >= 15 {
		columns = `coalesce((select ' (' || string_agg('"' || replace(a.attname, '"', '""') || '"', ', ' order by a.attnum) || ')'
		             from pg_attribute a where a.attrelid = c.oid and a.attnum = any (x.prattrs::int2[])), '')`
	}
	rows, err := w.conn.Query(ctx, `
		select n.nspname, c.relname, `+columns+`
		  from pg_publication_rel x join pg_publication p on p.oid = x.prpubid
		  join pg_class c on c.oid = x.prrelid join pg_namespace n on n.oid = c.relnamespace
		 where p.pubname = $1`, name)
	if err != nil {
		return nil, pg.Wrap("read publication "+name, err)
	}
	members := map[string]string{}
	var n catalog.Name
	var list string
	_, err = pgx.ForEachRow(rows, []any{&n.Schema, &n.Relation, &list}, func() error {
		members[n.Quoted()] = list
		return nil
	})
	return members, pg.Wrap("read publication "+name, err)
}

// columnList keeps a redacted table's other columns out of the stream. The
// server takes it from 15 on, and not for partitioned tables.
func (w *writer) columnList(t *catalog.Table, publication string) string {
	if w.server.version < 15 || t.Kind == catalog.KindPartitioned || publication == w.cfg.Publication {
		return ""
	}
	names := slices.Clone(t.Key())
	for _, c := range w.set.Categories {
		if w.table(c) == t && c.Redact != nil {
			names = append(names, plan.Redacted(c)...)
		}
	}
	var list []string
	for _, col := range t.Columns { // in the table's order, as the catalogue lists them
		if slices.Contains(names, col.Name) {
			list = append(list, catalog.Quote(col.Name))
		}
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// owned tells whether the installing role may publish and grant on a table. If
// not, its owner gets the statement to run.
func (w *writer) owned(ctx context.Context, t *catalog.Table, statement string) bool {
	var mine bool
	err := w.conn.QueryRow(ctx, `select pg_has_role(current_user, c.relowner, 'usage') from pg_class c where c.oid = $1`, t.OID).Scan(&mine)
	if err == nil && !mine && statement != "" && !slices.ContainsFunc(w.out.ByOwners, func(s Statement) bool { return s.SQL == statement }) {
		w.out.ByOwners = append(w.out.ByOwners, Statement{fmt.Sprintf("%s belongs to %q", t.Name, t.Owner), statement})
	}
	return mine
}

func (w *writer) table(c policy.Category) *catalog.Table {
	return w.cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
}

// govern registers the categories, so that holds know the types of their
// columns before the first sweep.
func (w *writer) govern(ctx context.Context) error {
	list, err := governed(w.set, w.cat)
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
		if !t.OwnerMember || w.fresh {
			seen[t.Owner] = true
			w.out.ByOwners = append(w.out.ByOwners, Statement{
				fmt.Sprintf("lets due partitions of %s be dropped whole; without it they go by rows", t.Name),
				fmt.Sprintf("GRANT %s TO sweeper_owner;", catalog.Quote(t.Owner)),
			})
		}
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
	if !status.Exists {
		w.out.Slot = w.cfg.Slot
	}
	return nil
}

// governed is the argument of sweeper.govern.
func governed(set policy.Set, cat *catalog.Catalog) ([]byte, error) {
	list := []map[string]any{}
	for _, c := range set.Categories {
		t := cat.Tables[catalog.Name{Schema: c.Schema, Relation: c.Relation}]
		row := map[string]any{"category": c.Name, "relation": t.OID, "relation_name": t.Text, "mode": c.Mode, "enabled": c.Enabled}
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
		list = append(list, row)
	}
	return json.Marshal(list)
}

// quoteLiteral writes a text for SQL; standard_conforming_strings is on.
func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

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
