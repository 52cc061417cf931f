package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// left is what a base backup leaves out of a data folder: what belongs to the
// running server alone. Of folders named here the contents are left out.
var left = []string{
	"postmaster.pid", "postmaster.opts", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
	"backup_label", "tablespace_map", "standby.signal", "recovery.signal",
}

// Copy starts a second server of this machine on a copy of this one's data
// folder, made while it runs, with the settings of o over its own. With
// Standby it can follow this one, or be what a backup is restored to once it
// is promoted; without, it is a server of the same identity and timeline that
// goes its own way.
func (s *Server) Copy(ctx context.Context, o Options) (*Server, error) {
	if s.cluster == nil {
		return nil, errors.New("copy the server: it is in a container")
	}
	o.Dir = cmp.Or(o.Dir, s.cluster.options.Dir)
	c := &cluster{binaries: s.cluster.binaries, options: o}
	made, err := c.start(ctx, func(ctx context.Context) error { return c.backup(ctx, s) })
	if err != nil {
		return nil, fmt.Errorf("copy the server: %w", err)
	}
	return made, nil
}

// backup fills the data folder with what from has, by the functions that every
// major has; pg_basebackup is not among the binaries everywhere.
func (c *cluster) backup(ctx context.Context, from *Server) error {
	conn, err := pgx.Connect(ctx, from.URL("postgres", Superuser))
	if err != nil {
		return fmt.Errorf("connect for a backup: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	begin, end := "pg_backup_start('copy', true)", "pg_backup_stop(false)"
	if c.major < 15 {
		begin, end = "pg_start_backup('copy', true, false)", "pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(ctx, "select "+begin); err != nil {
		return fmt.Errorf("begin a backup: %w", err)
	}
	const wal, slots = "pg_wal", "pg_replslot"
	if err := c.makeFolder("."); err != nil {
		return err
	}
	if c.options.Slots { // first: what they confirm must lie in the WAL that follows
		if err := c.copyTree(from.cluster, slots, nil); err != nil {
			return err
		}
	}
	if err := c.copyTree(from.cluster, ".", append([]string{wal, slots}, left...)); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, "select labelfile from "+end).Scan(&label); err != nil {
		return fmt.Errorf("end a backup: %w", err)
	}
	if err := c.copyTree(from.cluster, wal, nil); err != nil { // complete from the backup's start on: the server had no time to recycle it
		return err
	}
	return c.writeFile("backup_label", strings.NewReader(label))
}

// copyTree copies a folder below the data folder. What vanishes meanwhile was
// not needed.
func (c *cluster) copyTree(from *cluster, folder string, without []string) error {
	root := os.DirFS(from.data())
	return fs.WalkDir(root, folder, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("copy the data folder: %w", err)
		case d.IsDir():
			if err := c.makeFolder(name); err != nil {
				return err
			}
			if slices.Contains(without, name) {
				return fs.SkipDir
			}
			return nil
		case slices.Contains(without, name) || !d.Type().IsRegular():
			return nil
		}
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("copy the data folder: %w", err)
		}
		defer f.Close()
		return c.writeFile(name, f)
	})
}

func (c *cluster) makeFolder(name string) error {
	path := filepath.Join(c.data(), name)
	err := os.MkdirAll(path, 0o700)
	if err == nil && c.cred != nil {
		err = os.Chown(path, int(c.cred.Uid), int(c.cred.Gid))
	}
	if err != nil {
		return fmt.Errorf("copy the data folder: %w", err)
	}
	return nil
}

func (c *cluster) writeFile(name string, content io.Reader) error {
	f, err := os.OpenFile(filepath.Join(c.data(), name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy the data folder: %w", err)
	}
	_, err = io.Copy(f, content)
	if c.cred != nil {
		err = errors.Join(err, f.Chown(int(c.cred.Uid), int(c.cred.Gid)))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("copy the data folder: %w", err)
	}
	return nil
}

// Promote ends the recovery of a standby and returns when it can be written to.
func (s *Server) Promote(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres", Superuser))
	if err != nil {
		return fmt.Errorf("promote the server: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var promoted bool
	if err := conn.QueryRow(ctx, "select pg_catalog.pg_promote(true, 60)").Scan(&promoted); err != nil {
		return fmt.Errorf("promote the server: %w", err)
	}
	if !promoted {
		return errors.New("promote the server: it was not done within 60 s")
	}
	return nil
}

// Halt ends a server of this machine in peace, and leaves its folder for
// Restart or Follow.
func (s *Server) Halt(ctx context.Context) error {
	if s.cluster == nil {
		return errors.New("halt the server: it is in a container")
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	s.cluster.process.stop(ctx)
	return nil
}

// Follow starts a server that Halt or Crash has ended as a standby, with
// settings over those that it had, and returns when it answers.
func (s *Server) Follow(ctx context.Context, settings map[string]string) error {
	if s.cluster == nil {
		return errors.New("follow another server: it is in a container")
	}
	if err := errors.Join(s.cluster.set(settings), s.cluster.stayInRecovery()); err != nil {
		return fmt.Errorf("follow another server: %w", err)
	}
	return s.Restart(ctx)
}
