// Package pgserver starts a throw-away PostgreSQL for the demo and for tests,
// from whatever the machine has. It tries in this order:
//
//   - server binaries: Options.BinDir or SWEEPER_PG_BIN (a folder that holds
//     initdb and postgres; nothing else is tried then), PATH, and the folders
//     where the packages of Debian, Red Hat, Homebrew and a source build put
//     them, the newest major first;
//   - docker run, with the image of SWEEPER_DEMO_IMAGE (default postgres:18);
//   - server binaries that fergusstrange/embedded-postgres downloads once and
//     keeps in the user's cache folder.
//
// PostgreSQL refuses to run as root. For root, the server is started as the
// user postgres, or nobody where that is missing, and owns its own folder.
//
// The server listens on 127.0.0.1 at a free port, and on a Unix socket in its
// own folder where the path is short enough for one. It trusts every local
// connection, so it is for machines whose users trust each other. The
// superuser is postgres, the encoding UTF8, the collation C, the time zone
// UTC, and wal_level is logical unless Options.Settings says otherwise.
//
// Every server has a folder of its own, and Stop removes it. When the process
// that started a server dies without Stop, Linux ends the server, and the next
// one with the same parent folder removes what was left behind. Elsewhere, and
// with Docker, such a server goes on until someone stops it. Folders that are
// in use, or another user's, are never touched.
package pgserver
