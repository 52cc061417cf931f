package pg_test

import (
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// deadPeerSettings are what the server shall notice a dead client by.
const deadPeerSettings = `select string_agg(current_setting(n), ' ' order by n) from unnest('{client_connection_check_interval,
	idle_in_transaction_session_timeout,tcp_keepalives_count,tcp_keepalives_idle,tcp_keepalives_interval,tcp_user_timeout}'::text[]) n`

func TestDeadPeerSettings(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	for name, c := range map[string]struct{ query, want string }{
		"defaults":   {"", "5s 15s 3 10 5 20000"},
		"of the URL": {"&tcp_user_timeout=7000&client_connection_check_interval=0", "0 15s 3 10 5 7000"},
		"options":    {"&options=-c%20tcp_keepalives_idle%3D33", "5s 15s 3 33 5 20000"},
	} {
		conn, err := pg.Connect(t.Context(), db.URL("")+c.query, "test")
		if err != nil {
			t.Fatal(err)
		}
		if got := pgtest.QueryOne[string](t, conn, deadPeerSettings); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		_ = conn.Close(t.Context())
	}
	pool, err := pg.Pool(t.Context(), db.URL(""), "test", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var got string
	if err := pool.QueryRow(t.Context(), deadPeerSettings).Scan(&got); err != nil || got != "5s 15s 3 10 5 20000" {
		t.Errorf("pool: %s %v", got, err)
	}
}

// TestRefusedWish has whoever answers refuse a setting that is only wished for,
// as poolers do: the connection comes about without.
func TestRefusedWish(t *testing.T) {
	t.Parallel()
	asked := make(chan map[string]string, 2)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		for range 2 {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			asked <- answer(conn)
		}
	})
	conn, err := pg.Connect(t.Context(), "postgres://u@"+listener.Addr().String()+"/d?sslmode=disable", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	first, second := <-asked, <-asked
	if first["tcp_user_timeout"] == "" || second["tcp_user_timeout"] != "" || second["search_path"] == "" {
		t.Errorf("asked for %v, then for %v", first, second)
	}
}

// answer is a pooler that knows no tcp_user_timeout. It returns what was asked
// of it.
func answer(conn net.Conn) map[string]string {
	backend := pgproto3.NewBackend(conn, conn)
	message, err := backend.ReceiveStartupMessage()
	startup, ok := message.(*pgproto3.StartupMessage)
	if err != nil || !ok {
		_ = conn.Close()
		return nil
	}
	if startup.Parameters["tcp_user_timeout"] != "" {
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: tcp_user_timeout"})
		_ = backend.Flush()
		_ = conn.Close()
		return startup.Parameters
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = backend.Flush()
	return startup.Parameters
}
