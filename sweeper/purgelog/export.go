package purgelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/pgsweeper/sweeper/sweeper/pg"
	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// Exported is what Export has written.
type Exported struct {
	Entries     int64 `json:"entries"`
	Rows        int64 `json:"row_commitments"`
	Checkpoints int64 `json:"checkpoints"`
	First       int64 `json:"first"` // the first entry: those before were pruned
	Size        int64 `json:"size"`  // entries ever
}

// Export writes the whole log into a folder, in the form that
// [proof.VerifyExport] reads: one snapshot, as a stream, durable when it returns.
// It refuses a folder that has anything in it, and after an error it takes away
// what it has written. It copies the log as it stands; whether that is whole is
// for who reads it to find out.
func Export(ctx context.Context, conn *pgx.Conn, dir string, progress func(done, total int64)) (out Exported, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return out, pg.Wrap("export the purge log", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := readAll(ctx, tx); err != nil {
		return out, err
	}
	head, err := readHead(ctx, tx)
	if err != nil {
		return out, err
	}
	pruned, err := readPrune(ctx, tx)
	if err != nil {
		return out, err
	}
	folder, err := newFolder(dir)
	if err != nil {
		return out, err
	}
	defer func() { err = folder.end(err) }()
	x, err := proof.NewExporter(folder.file)
	if err != nil {
		return out, err
	}
	out.Size = head.Size
	if pruned != nil {
		out.First = pruned.Size
	}
	e := &exporting{x: x, out: &out, progress: progress}
	if err := e.copy(ctx, tx); err != nil {
		return out, err
	}
	return out, x.Close(head, pruned)
}

type exporting struct {
	x        *proof.Exporter
	out      *Exported
	progress func(done, total int64)
	leaf     []byte
}

func (e *exporting) copy(ctx context.Context, tx pgx.Tx) error {
	err := copyOut(ctx, tx.Conn(), "export the purge log", `select `+entryFields+` from sweeper.purge_log order by seq, logged_at`, fieldsOfEntry, func(fields [][]byte) error {
		var err error
		if e.leaf, err = proof.AppendColumns(e.leaf[:0], fields); err != nil {
			return err
		}
		if e.out.Entries++; e.progress != nil && e.out.Entries%tellEvery == 0 {
			e.progress(e.out.Entries, e.out.Size-e.out.First)
		}
		return e.x.Entry(e.leaf, fields[fieldLeafHash], fields[fieldChainHash])
	})
	if err != nil {
		return err
	}
	err = copyOut(ctx, tx.Conn(), "export row commitments", `select seq, logged_at, part, commitments from sweeper.purge_rows order by seq, part`, 4, func(fields [][]byte) error {
		seq, _, err := place(fields)
		if err != nil || len(fields[2]) != 4 {
			return errCopy
		}
		e.out.Rows += int64(len(fields[3]) / 32)
		return e.x.Rows(seq, int32(binary.BigEndian.Uint32(fields[2])), fields[3])
	})
	if err != nil {
		return err
	}
	return copyOut(ctx, tx.Conn(), "export checkpoints", `select note from sweeper.checkpoints order by size, checkpoint_id`, 1, func(fields [][]byte) error {
		e.out.Checkpoints++
		return e.x.Checkpoint(fields[0])
	})
}

// folder is where an export is written to.
type folder struct {
	dir   string
	made  bool // by us
	files []*os.File
}

// ErrFolder is a folder that an export cannot be written into.
var ErrFolder = errors.New("name a new folder or an empty one, where this user may write")

// refuse is the error of a folder that will not do, without its path a second time.
func (f *folder) refuse(err error) error {
	var bad *fs.PathError
	if errors.As(err, &bad) {
		err = bad.Err
	}
	return fmt.Errorf("export into %s: %w; %w", f.dir, err, ErrFolder)
}

// newFolder makes the folder, or takes an empty one.
func newFolder(dir string) (*folder, error) {
	f := &folder{dir: dir}
	err := os.Mkdir(dir, 0o700)
	if f.made = err == nil; f.made {
		return f, nil
	}
	if !errors.Is(err, os.ErrExist) {
		return nil, f.refuse(err)
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return nil, f.refuse(err)
	}
	if len(have) > 0 {
		return nil, f.refuse(errors.New("it is not empty"))
	}
	return f, nil
}

func (f *folder) file(name string) (io.Writer, error) {
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, f.refuse(err)
	}
	f.files = append(f.files, file)
	return file, nil
}

// end makes the files durable, or after an error takes them away.
func (f *folder) end(err error) error {
	for _, file := range f.files {
		if err == nil {
			err = file.Sync()
		}
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		for _, file := range f.files {
			_ = os.Remove(file.Name())
		}
		if f.made {
			_ = os.Remove(f.dir)
		}
		return err
	}
	for _, dir := range []string{f.dir, filepath.Dir(f.dir)} {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make the export durable: %w", err)
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("make the export durable: %w", err)
	}
	return nil
}
