package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	portTries = 5
	// longestSocketDir leaves room for "/.s.PGSQL.65535.lock" in the 103 bytes
	// that macOS allows for the path of a socket (Linux: 107).
	longestSocketDir = 80
)

// errPortTaken means that somebody took the port between our choice and the
// server's bind.
var errPortTaken = errors.New("the port was taken by another process")

// start makes a cluster in a folder of its own and starts the server on it.
func (b *binaries) start(ctx context.Context, o Options) (*Server, error) {
	c := &cluster{binaries: b, options: o}
	return c.start(ctx, c.initdb)
}

// start has fill make the data folder and starts the server on it.
func (c *cluster) start(ctx context.Context, fill func(context.Context) error) (*Server, error) {
	removeAbandoned(cmp.Or(c.options.Dir, os.TempDir()), c.uid())
	if err := c.initialize(ctx, fill); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	err := c.launch(ctx)
	for range portTries - 1 {
		if !errors.Is(err, errPortTaken) {
			break
		}
		err = c.launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return &Server{
		host: c.host(), version: c.version, how: c.from + "server binaries in " + c.binaries.dir,
		pid: c.process.pid, socketDir: c.socketDir,
		manual:  c.manual(),
		cluster: c, stop: c.stop,
	}, nil
}

// cluster is one data directory and the server on it.
type cluster struct {
	*binaries
	options   Options
	dir       string // everything of this server: data, log, socket
	socketDir string // dir, or "" when its path is too long for a socket
	port      string
	version   string
	process   *process
	claim     *os.File // open while the folder is in use; the server inherits it
}

// uid is the user that the server runs as.
func (c *cluster) uid() uint32 {
	if c.cred != nil {
		return c.cred.Uid
	}
	return uint32(os.Geteuid())
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *cluster) log() string  { return filepath.Join(c.dir, "server.log") }
func (c *cluster) host() string { return net.JoinHostPort("127.0.0.1", c.port) }

func (c *cluster) manual() string {
	return fmt.Sprintf("kill -INT %d && rm -rf %s", c.process.pid, c.dir)
}

// initialize makes the folder and, with fill, the cluster in it.
func (c *cluster) initialize(ctx context.Context, fill func(context.Context) error) error {
	dir, err := os.MkdirTemp(c.options.Dir, folderPrefix)
	if err != nil {
		return fmt.Errorf("make the server's folder: %w", err)
	}
	c.dir = dir
	// The server reports its own path, and start compares it with ours.
	if c.dir, err = filepath.EvalSymlinks(dir); err == nil {
		c.dir, err = filepath.Abs(c.dir)
	}
	if err == nil && c.cred != nil {
		err = os.Chown(c.dir, int(c.cred.Uid), int(c.cred.Gid))
	}
	if err != nil {
		return fmt.Errorf("make the server's folder: %w", err)
	}
	if c.claim, err = claim(c.dir); err != nil {
		return err
	}
	if len(c.dir) <= longestSocketDir {
		c.socketDir = c.dir
	}
	if err := fill(ctx); err != nil {
		return err
	}
	return c.configure()
}

// initdb prefers a character type that knows letters beyond ASCII, which not
// every system has; strings are compared by bytes in either case.
func (c *cluster) initdb(ctx context.Context) error {
	var out []byte
	var err error
	for _, ctype := range []string{"C.UTF-8", "C"} {
		out, err = c.command(ctx, "initdb", "--pgdata="+c.data(), "--username="+Superuser,
			"--auth=trust", "--encoding=UTF8", "--locale=C", "--lc-ctype="+ctype,
			"--no-sync", "--no-instructions").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "locale") {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", filepath.Join(c.binaries.dir, "initdb"), err, lastLines(string(out)))
	}
	return nil
}

// configure appends our settings to the cluster's configuration file, where
// ALTER SYSTEM can still override them.
func (c *cluster) configure() error {
	settings := c.options.settings()
	settings["listen_addresses"] = "127.0.0.1"
	settings["unix_socket_directories"] = c.socketDir
	if err := c.set(settings); err != nil {
		return err
	}
	if !c.options.Standby {
		return nil
	}
	return c.stayInRecovery()
}

// set appends settings to the cluster's configuration file.
func (c *cluster) set(settings map[string]string) error {
	f, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure the server: %w", err)
	}
	_, err = f.WriteString("\n" + configuration(settings))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("configure the server: %w", err)
	}
	return nil
}

// stayInRecovery has the next start be that of a standby. The server removes
// the file when it is promoted.
func (c *cluster) stayInRecovery() error {
	name := filepath.Join(c.data(), "standby.signal")
	err := os.WriteFile(name, nil, 0o600)
	if err == nil && c.cred != nil {
		err = os.Chown(name, int(c.cred.Uid), int(c.cred.Gid))
	}
	if err != nil {
		return fmt.Errorf("make the server a standby: %w", err)
	}
	return nil
}

// launch starts the server, on a free port unless one is given, and waits until
// it answers.
func (c *cluster) launch(ctx context.Context) error {
	if c.options.Port != 0 {
		return c.launchAt(ctx, strconv.Itoa(c.options.Port))
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	return c.launchAt(ctx, strconv.Itoa(port))
}

func (c *cluster) launchAt(ctx context.Context, port string) error {
	c.port = port
	log, err := os.Create(c.log())
	if err != nil {
		return fmt.Errorf("make the server's log: %w", err)
	}
	defer log.Close()
	// The server must outlive ctx, which bounds only its start.
	cmd := c.command(context.WithoutCancel(ctx), "postgres", "-D", c.data(), "-p", port)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{c.claim}
	cmd.SysProcAttr = attributes(c.cred, !c.options.Keep)
	if c.process, err = launch(cmd); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	if c.version, err = c.ready(ctx); err == nil {
		return nil
	}
	c.process.kill()
	text, _ := os.ReadFile(c.log())
	if strings.Contains(string(text), "could not bind") {
		return errPortTaken
	}
	return fmt.Errorf("start %s: %w; its log ends with: %s", cmd.Path, err, lastLines(string(text)))
}

// ready waits until the server at our port is ours and answers.
func (c *cluster) ready(ctx context.Context) (version string, err error) {
	u := (&Server{host: c.host()}).URL("postgres", Superuser)
	return await(ctx, u, func(ctx context.Context, conn *pgx.Conn) error {
		var data string
		if err := conn.QueryRow(ctx, "select pg_catalog.current_setting('data_directory')").Scan(&data); err != nil {
			return err
		}
		if data != c.data() {
			return errPortTaken
		}
		return nil
	}, func() error {
		select {
		case <-c.process.done:
			return errors.New("the server ended at once")
		default:
			return nil
		}
	})
}

// stop ends the server and removes its folder.
func (c *cluster) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	c.process.stop(ctx)
	return c.remove()
}

// remove removes the server's folder.
func (c *cluster) remove() error {
	if c.dir == "" {
		return nil
	}
	err := os.RemoveAll(c.dir)
	if c.claim != nil {
		err = errors.Join(err, c.claim.Close())
	}
	if err != nil {
		return fmt.Errorf("remove the server's folder: %w", err)
	}
	return nil
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("choose a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// lastLines is the end of a program's output, on one line.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > 6 {
		lines = lines[len(lines)-6:]
	}
	return strings.Join(lines, " | ")
}
