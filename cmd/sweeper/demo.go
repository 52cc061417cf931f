package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/cmd/sweeper/sample"
	"github.com/pgsweeper/sweeper/policies"
	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgserver"
)

const demoDatabase = "demo"

func newDemo(a *app) *cobra.Command {
	var keep bool
	rows := sample.DefaultRows
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole life cycle on a throw-away PostgreSQL",
		Long: `Starts a throw-away PostgreSQL (server binaries of this machine, else Docker, else
downloaded binaries), loads a KYC sample of eight years, installs sweeper, applies a
legal hold, plans, sweeps, shows the purge log and verifies it, and then compares what
the log says with what another connection saw before and after.
Every step but the first two is a verb that you can call yourself; it is shown first.`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if rows < sample.MinRows || rows > sample.MaxRows {
				return usage(fmt.Errorf("--rows takes %d to %d", sample.MinRows, sample.MaxRows))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return (&demo{app: a, keep: keep, rows: rows}).run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the server running and print how to connect")
	cmd.Flags().IntVar(&rows, "rows", rows, "size of the sample, in rows over all tables")
	return cmd
}

// demo is one demonstration.
type demo struct {
	*app
	keep   bool
	rows   int
	server *pgserver.Server
	dir    string // holds the policy file
	admin  *pgx.Conn
}

func (d *demo) run(ctx context.Context) (err error) {
	began := d.now()
	if err := d.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end(context.WithoutCancel(ctx))) }()
	if err := d.load(ctx); err != nil {
		return err
	}
	subject, err := d.subject(ctx)
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"install"},
		{"hold", "apply", "--subject", subject, "--reason", "litigation", "--reference", "case 2026/114", "--actor", "demo"},
		{"plan"},
	} {
		if code := d.verb(ctx, args...); code != exitDone {
			return &exitError{code, fmt.Errorf("the demo's %q ended with exit code %d", strings.Join(args, " "), code)}
		}
	}
	before, err := observe(ctx, d.admin, subject)
	if err != nil {
		return err
	}
	// Exit code 1 says that due rows remain: the sample has applicants whom a
	// younger review still references. Whether that is all is checked below.
	if code := d.verb(ctx, "sweep"); code != exitDone && code != exitFailed {
		return &exitError{code, fmt.Errorf("the demo's sweep ended with exit code %d", code)}
	}
	if err := d.purges(ctx); err != nil {
		return err
	}
	d.verb(ctx, "log", "tail", "-n", "5")
	if code := d.verb(ctx, "log", "verify"); code != exitDone {
		return &exitError{code, errors.New("the purge log does not verify")}
	}
	after, err := observe(ctx, d.admin, subject)
	if err != nil {
		return err
	}
	if err := d.compare(before, after); err != nil {
		return err
	}
	d.print("\nDone in %s.", d.now().Sub(began).Round(100*time.Millisecond))
	return nil
}

// start brings the server up, with a database and a policy file.
func (d *demo) start(ctx context.Context) error {
	server, err := pgserver.Start(ctx, pgserver.Options{Keep: d.keep})
	if err != nil {
		return err
	}
	d.server = server
	d.print("PostgreSQL %s is up, from %s.", server.Version(), server.How())
	admin, err := pg.Connect(ctx, server.URL("postgres", pgserver.Superuser), "sweeper demo")
	if err == nil {
		_, err = admin.Exec(ctx, "CREATE DATABASE "+demoDatabase)
		_ = admin.Close(ctx)
		err = pg.Wrap("create the database of the demo", err)
	}
	if err == nil {
		d.admin, err = pg.Connect(ctx, server.URL(demoDatabase, pgserver.Superuser), "sweeper demo")
	}
	if err == nil {
		err = d.writePolicies()
	}
	if err != nil {
		return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}
	return d.configure()
}

func (d *demo) writePolicies() (err error) {
	if d.dir, err = os.MkdirTemp("", "sweeper-demo-"); err != nil {
		return err
	}
	text, err := fs.ReadFile(policies.FS, "kyc.yaml")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "kyc.yaml"), text, 0o600)
}

// configure replaces the environment: the demo must touch no database but its
// own, whatever the user's environment says.
func (d *demo) configure() error {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	own := *d.app
	own.environ = nil
	for _, entry := range d.environ {
		if !strings.HasPrefix(entry, "SWEEPER_") && !strings.HasPrefix(entry, "PG") {
			own.environ = append(own.environ, entry)
		}
	}
	own.environ = append(own.environ, d.exports(hex.EncodeToString(key))...)
	d.app = &own
	return nil
}

// exports are the variables with which the verbs find the demo's server.
func (d *demo) exports(key string) []string {
	return []string{
		"SWEEPER_DATABASE_URL=" + d.server.URL(demoDatabase, "sweeper_daemon"),
		"SWEEPER_REPLICATION_URL=" + d.server.URL(demoDatabase, "sweeper_logger"),
		"SWEEPER_INSTALL_URL=" + d.server.URL(demoDatabase, pgserver.Superuser),
		"SWEEPER_POLICIES=" + d.dir,
		"SWEEPER_HMAC_KEY=" + key,
		"SWEEPER_APPROVE=auto", // a first sweep of eight years is over any limit
	}
}

func (d *demo) load(ctx context.Context) error {
	began := d.now()
	if err := sample.Load(ctx, d.admin, d.rows); err != nil {
		return err
	}
	d.print("Loaded a KYC sample of %d rows over 8 years in %s.", d.rows, d.now().Sub(began).Round(100*time.Millisecond))
	// What install asks the owner of partitioned tables to run; here the demo is
	// that owner. The role exists before install does: it is made once a server.
	_, err := d.admin.Exec(ctx, `do $$ begin
		if to_regrole('sweeper_owner') is null then create role sweeper_owner nologin; end if;
		grant kyc_owner to sweeper_owner; end $$`)
	return pg.Wrap("let partitions be dropped whole", err)
}

// verb shows a command line as the user would type it, and runs it.
func (d *demo) verb(ctx context.Context, args ...string) int {
	shown := make([]string, len(args))
	for i, arg := range args {
		if shown[i] = arg; strings.ContainsRune(arg, ' ') {
			shown[i] = `"` + arg + `"`
		}
	}
	d.print("\n$ sweeper %s", strings.Join(shown, " "))
	sub := *d.app
	return sub.run(ctx, args)
}

// print prints a line of the demo's own, between those of the verbs.
func (d *demo) print(format string, args ...any) {
	_, _ = fmt.Fprintf(d.stdout, format+"\n", args...)
}

// end stops the server, or tells how to go on with it.
func (d *demo) end(ctx context.Context) error {
	_ = d.admin.Close(ctx)
	if !d.keep {
		return errors.Join(d.server.Stop(ctx), os.RemoveAll(d.dir))
	}
	d.print("\nThe server goes on. Look around as an auditor would:\n  psql %s\nor use the verbs with this environment:", d.server.URL(demoDatabase, pgserver.Superuser))
	for _, entry := range d.environ {
		if strings.HasPrefix(entry, "SWEEPER_") {
			d.print("  export %s", entry)
		}
	}
	d.print("Stop it with:\n  %s", d.server.StopCommand())
	return nil
}
