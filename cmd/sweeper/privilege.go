package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// needed is, by the beginning of a command line, whose privileges a verb needs;
// the first that fits counts.
var needed = []struct{ verb, remedy string }{
	{"install", "SWEEPER_INSTALL_URL needs a role that may create schema, roles and publications, and read the tables that the policies name"},
	{"uninstall", "SWEEPER_INSTALL_URL needs the role that installed, or a superuser"},
	{"hold", "run GRANT sweeper_operator TO the role of SWEEPER_DATABASE_URL, or connect as one that has it"},
	{"approve", "run GRANT sweeper_operator TO the role of SWEEPER_DATABASE_URL, or connect as one that has it"},
	{"log checkpoint", "SWEEPER_REPLICATION_URL needs a role that has sweeper_logger"},
	{"log prune", "it needs SWEEPER_DATABASE_URL with a role that has sweeper_daemon, and SWEEPER_REPLICATION_URL with one that has sweeper_logger"},
	{"log fork", "SWEEPER_REPLICATION_URL needs a role that has sweeper_logger"},
	{"log", "run GRANT sweeper_auditor TO the role of SWEEPER_DATABASE_URL, or connect as one that has it"},
	{"status", "run GRANT sweeper_auditor TO the role of SWEEPER_DATABASE_URL, or connect as one that has it"},
	{"", "SWEEPER_DATABASE_URL needs a role that has sweeper_daemon, to which sweeper install grants the tables of the policies: run it again when they have changed"},
}

// withPrivilege adds to the server's word that a privilege is missing what gives
// it. Functions of ours say that themselves, and of joined errors each has its own.
func withPrivilege(cmd *cobra.Command, err error) error {
	if !pg.Denied(err) || joined(err) != nil {
		return err
	}
	line := strings.TrimPrefix(cmd.CommandPath(), "sweeper ")
	for _, n := range needed {
		if n.verb == "" || line == n.verb || strings.HasPrefix(line, n.verb+" ") {
			return fmt.Errorf("%w; %s", err, n.remedy)
		}
	}
	return err
}
