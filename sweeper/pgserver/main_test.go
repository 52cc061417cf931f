package pgserver

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// ownerOf makes the test binary a program that starts a server and waits to be
// killed, for the tests of what then becomes of the server.
const ownerOf = "PGSERVER_TEST_OWNER"

func TestMain(m *testing.M) {
	if kind := os.Getenv(ownerOf); kind != "" {
		own(kind == "keep")
		return
	}
	goleak.VerifyTestMain(m)
}

func own(keep bool) {
	s, err := Start(context.Background(), Options{Sources: onMachine, Keep: keep, Dir: os.Getenv("PGSERVER_TEST_DIR")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d %s\n", s.Pid(), s.URL("postgres", Superuser))
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the end of the process
}
