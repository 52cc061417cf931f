#!/bin/sh
# Does what the official image's entrypoint does, as far as tests need it:
# POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_HOST_AUTH_METHOD and
# POSTGRES_INITDB_ARGS at the first start, and flags of postgres as arguments.
set -eu

case "${1:-}" in
-* | '') set -- postgres "$@" ;;
esac
if [ "$1" != postgres ]; then
	exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
	chown postgres:postgres "$PGDATA"
	chmod 0700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	user=${POSTGRES_USER:-postgres}
	database=${POSTGRES_DB:-$user}
	method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
		echo 'set POSTGRES_PASSWORD to a value, or POSTGRES_HOST_AUTH_METHOD to trust' >&2
		exit 1
	fi
	password=$(mktemp)
	printf '%s\n' "${POSTGRES_PASSWORD:-}" >"$password"
	set -f # the arguments are words, not patterns
	if [ -n "${POSTGRES_PASSWORD:-}" ]; then
		initdb --username="$user" --pwfile="$password" ${POSTGRES_INITDB_ARGS:-}
	else
		initdb --username="$user" ${POSTGRES_INITDB_ARGS:-}
	fi
	set +f
	rm "$password"
	printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
	printf "\nlisten_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
	if [ "$database" != postgres ]; then
		# On the Unix socket alone, so that nobody takes it for the server.
		pg_ctl --silent --wait -o "-c listen_addresses=''" start
		createdb --username="$user" --maintenance-db=postgres "$database"
		pg_ctl --silent --wait --mode=fast stop
	fi
fi
exec "$@"
