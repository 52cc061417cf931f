package pgserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Defaults are the settings that every server starts with, durable or not.
// They are what a server under sweeper needs, and nothing that would make a
// statement mean something else than on a server in production.
func Defaults(durable bool) map[string]string {
	settings := map[string]string{
		"wal_level":              "logical",
		"max_replication_slots":  "64",
		"max_wal_senders":        "64",
		"max_connections":        "200",
		"max_slot_wal_keep_size": "8GB",
		"timezone":               "UTC",
		"log_timezone":           "UTC",
		"jit":                    "off",
	}
	if !durable {
		// synchronous_commit stays on: without fsync a flush is one write, and
		// logical decoding shows only what is flushed, so asynchronous commits
		// would reach every reader of the WAL up to 600 ms late.
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		// Nor is the kernel asked to write pages out early: most are deleted
		// before it would.
		settings["checkpoint_flush_after"] = "0"
		settings["bgwriter_flush_after"] = "0"
	}
	return settings
}

// settings are the defaults with the caller's over them.
func (o Options) settings() map[string]string {
	settings := Defaults(o.Durable)
	maps.Copy(settings, o.Settings)
	return settings
}

// configuration renders settings as lines of postgresql.conf.
func configuration(settings map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(settings[name]))
	}
	return b.String()
}

// flags renders settings as arguments of postgres.
func flags(settings map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}
