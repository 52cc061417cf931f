package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

func newInstall(a *app) *cobra.Command {
	var script bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Create or upgrade what sweeper needs in the database",
		Long: `Creates or upgrades schema, roles, publications and slot, and grants and publishes
exactly the tables that the policies name. It can be repeated: what is there stays.
It connects to SWEEPER_INSTALL_URL. What only the owners of tables may do is printed
for them; the same with --print for everything, and then nothing is changed.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&script, "print", false, "print the SQL for a DBA and change nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, log, set, err := a.prepare("install", sweeper.NeedInstall)
		if err != nil {
			return err
		}
		done, err := sweeper.Install(cmd.Context(), cfg, log, set, script)
		if err != nil {
			return err
		}
		if script {
			_, err = io.WriteString(a.stdout, done.Script())
		} else {
			a.tellInstalled(done)
			a.sayStatements("the owners of the tables, or a superuser, have to run", done.ByOwners)
		}
		if done.Empty() {
			a.say("nothing to do in %s", cfg.InstallURL)
		}
		a.tellPasswords(done)
		return err
	}
	return cmd
}

// tellInstalled names what was done, each thing once.
func (a *app) tellInstalled(done sweeper.Installation) {
	told := map[string]bool{}
	for _, s := range done.Statements {
		what := s.Why
		if strings.HasSuffix(what, ".sql") {
			what = "tables, functions and views of schema sweeper"
		}
		if told[what] || onlySettings(s.SQL) {
			continue
		}
		told[what] = true
		a.say("installed: %s", what)
	}
	if done.Slot != "" {
		a.say("installed: slot %s", done.Slot)
	}
}

// onlySettings tells statements that change nothing but the session, which
// are no news.
func onlySettings(sql string) bool {
	for _, line := range strings.Split(strings.TrimSpace(sql), "\n") {
		if !strings.HasPrefix(line, "SET LOCAL ") && !strings.HasPrefix(line, "RESET ") {
			return false
		}
	}
	return true
}

// tellPasswords says how the login roles get passwords, when the installation
// has to do with roles at all.
func (a *app) tellPasswords(done sweeper.Installation) {
	for _, s := range done.Statements {
		if strings.Contains(s.SQL, "'sweeper_daemon', 'login'") {
			a.say(`the login roles sweeper_daemon and sweeper_logger are made without a password; set one with psql: \password sweeper_daemon`)
			return
		}
	}
}

// sayStatements prints SQL for people to run, with what it is for.
func (a *app) sayStatements(who string, all []sweeper.Statement) {
	if len(all) == 0 {
		return
	}
	a.say("%s:", who)
	for _, s := range all {
		_, _ = io.WriteString(a.stderr, cleanLines("  -- "+s.Why+"\n  "+strings.TrimSpace(s.SQL)+"\n"))
	}
}
