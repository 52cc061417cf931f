package wal_test

import (
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgsweeper/sweeper/sweeper/wal"
)

// A pooler that does not know a setting refuses the connection.
func TestRefusedWishesAreLeftOut(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	asked := make(chan map[string]string, 2)
	go func() {
		defer close(asked)
		for _, code := range []string{"08P01", "28000"} {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			message, err := backend.ReceiveStartupMessage()
			if startup, ok := message.(*pgproto3.StartupMessage); ok && err == nil {
				asked <- maps.Clone(startup.Parameters)
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "no"})
				_ = backend.Flush()
			}
			_ = conn.Close()
		}
	}()
	_, err = wal.Open(t.Context(), wal.Options{
		URL:  "postgres://u@" + listener.Addr().String() + "/d?sslmode=disable&wal_sender_timeout=5s&timezone=Asia/Tokyo",
		Slot: "s", Publications: []string{"p"},
	})
	if err == nil || !strings.Contains(err.Error(), "28000") {
		t.Errorf("got %v, want the second answer", err)
	}
	first, second := <-asked, <-asked
	if first["logical_decoding_work_mem"] != "128MB" || first["wal_sender_timeout"] != "5s" {
		t.Errorf("the first time asked for %v", first)
	}
	if _, there := second["logical_decoding_work_mem"]; there || second["wal_sender_timeout"] != "5s" {
		t.Errorf("the second time asked for %v", second)
	}
	pinned := map[string]string{
		"replication": "database", "timezone": "UTC", "datestyle": "ISO, MDY", "intervalstyle": "postgres", "extra_float_digits": "3",
		"bytea_output": "hex", "client_encoding": "UTF8", "statement_timeout": "0", "idle_session_timeout": "0", "application_name": "sweeper",
	}
	for _, name := range slices.Sorted(maps.Keys(pinned)) {
		if second[name] != pinned[name] {
			t.Errorf("%s is %q, want %q", name, second[name], pinned[name])
		}
	}
}

// A pooler of before 1.23 knows no replication at all, and says it so.
func TestPoolerIsNamed(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "08P01", Message: "unsupported startup parameter: replication"})
				_ = backend.Flush()
			}
			_ = conn.Close()
		}
	}()
	_, err = wal.Open(t.Context(), wal.Options{
		URL: "postgres://u@" + listener.Addr().String() + "/d?sslmode=disable", Slot: "s", Publications: []string{"p"},
	})
	if !errors.Is(err, wal.ErrPooler) || !strings.Contains(err.Error(), "SWEEPER_REPLICATION_URL") {
		t.Errorf("got %v, want %v", err, wal.ErrPooler)
	}
}
