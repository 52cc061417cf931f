package pgserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeDocker puts a docker command into PATH that notes its arguments and
// "publishes" the server at host. cases come first in its choice.
func fakeDocker(t *testing.T, host, cases string) (calls func() string) {
	t.Helper()
	dir := open(t)
	record := filepath.Join(dir, "calls")
	script(t, dir, "docker", fmt.Sprintf(`echo "$@" >> %s
case "$1" in
%s
version) echo 28.0 ;;
image) ;;
run) echo 0123456789abcdef ;;
port) echo %s ;;
logs) echo "FATAL: out of coffee" ;;
inspect) echo false ;;
esac`, record, cases, host))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(record)
		return string(text)
	}
}

func TestDockerRun(t *testing.T) {
	behind := start(t, Options{})
	calls := fakeDocker(t, behind.host, "")
	t.Setenv("SWEEPER_DEMO_IMAGE", "registry.example/postgres:17")
	s, err := Start(t.Context(), Options{Sources: []Source{Docker}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.How(), "docker run registry.example/postgres:17"; got != want {
		t.Errorf("How: got %q, want %q", got, want)
	}
	if got, want := s.StopCommand(), "docker stop 0123456789ab"; got != want {
		t.Errorf("StopCommand: got %q, want %q", got, want)
	}
	if s.Version() != behind.Version() || s.Pid() != 0 || s.SocketURL("postgres", Superuser) != "" {
		t.Errorf("got version %s, pid %d, socket %q", s.Version(), s.Pid(), s.SocketURL("postgres", Superuser))
	}
	connect(t, s.URL("postgres", Superuser))
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"run --rm --detach --publish 127.0.0.1::5432 --env POSTGRES_HOST_AUTH_METHOD=trust",
		" registry.example/postgres:17 -c ", " -c fsync=off", " -c wal_level=logical",
		"stop --time 10 0123456789abcdef",
	} {
		if !strings.Contains(calls(), want) {
			t.Errorf("%q is not in the calls:\n%s", want, calls())
		}
	}
}

func TestDockerContainerThatEnds(t *testing.T) {
	fakeDocker(t, "127.0.0.1:1", "")
	_, err := Start(t.Context(), Options{Sources: []Source{Docker}})
	if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "the container ended") || !strings.Contains(err.Error(), "out of coffee") {
		t.Errorf("got %v, want the container's end and its log", err)
	}
}

func TestDockerWithoutEngineOrImage(t *testing.T) {
	for _, test := range []struct{ cases, want string }{
		{"version) echo 'Cannot connect to the Docker daemon' >&2; exit 1 ;;", "Cannot connect"},
		{"image) exit 1 ;; pull) echo 'pull access denied' >&2; exit 1 ;;", "pull access denied"},
	} {
		t.Run(test.want, func(t *testing.T) {
			fakeDocker(t, "", test.cases)
			_, err := Start(t.Context(), Options{Sources: []Source{Docker}})
			if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want ErrNotFound with %q", err, test.want)
			}
		})
	}
}
