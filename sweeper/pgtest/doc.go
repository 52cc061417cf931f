// Package pgtest gives tests a real PostgreSQL: one server for each test
// binary, one database for each test. Only tests import it.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// and in each test
//
//	t.Parallel()
//	db := pgtest.Database(t)
//
// The server starts at the first database and stops in Main. It is, in this
// order: the one that SWEEPER_TEST_DATABASE_URL names (as a superuser, with
// wal_level=logical, and trusting the roles that tests make); server binaries
// on the machine, as package pgserver finds them (SWEEPER_PG_BIN points at
// others, which is how the tests run on another major version); Docker, with
// the image SWEEPER_TEST_IMAGE (default postgres; when it is set nothing else
// is tried) and the tag SWEEPER_TEST_TAG (default 18); binaries that are
// downloaded. Without any, tests fail: they never skip. Its files are in memory where /dev/shm has 8 GiB free, or in the
// folder that SWEEPER_TEST_DIR names.
//
// What a test does in its database stays there, and goes with it. Three things
// are shared by the whole server, so by all tests that run at the same time:
//
//   - Roles. A test that makes one names it after its database (DB.Role) and
//     the role is dropped with the database.
//   - Replication slots. They belong to the database they were made in and are
//     dropped with it; the name must be unique (DB.Slot). Making one waits for
//     every transaction that is open anywhere in the server.
//   - The WAL. A reader of one database never sees rows of another, but its
//     positions move with everybody's work.
package pgtest
