// Package sql holds the SQL that sweeper installs: the migrations that build
// schema sweeper, and the functions and views that are replaced whole
// whenever their text changes. It holds text only and runs nothing.
package sql

import "embed"

// Files holds migrations/NNN_name.sql, run once each in the order of their
// numbers, then functions/*.sql and views/*.sql, run in the order of their
// names whenever one of them has changed. roles.sql and grants.sql are run by
// install before and after them.
//
//go:embed roles.sql grants.sql migrations/*.sql functions/*.sql views/*.sql
var Files embed.FS
