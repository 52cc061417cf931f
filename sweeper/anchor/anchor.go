// Package anchor keeps checkpoints of the purge log outside the database, in a
// folder or in an S3 bucket. It is the one thing that a superuser of the
// database cannot rewrite with the log.
//
// One place belongs to one database. It holds one file a checkpoint,
// ORIGIN/SIZE.txt: the last 32 hex digits of the origin, and the number of
// entries in 20 digits, so that names sort as sizes do. The file is the note
// itself, which anybody can read and check.
//
// It guarantees that a checkpoint is durable once Put has returned, and that
// Put never replaces one: another content under the same name is
// [ErrEquivocation]. A bucket that does not know conditional writes could be
// written over in between; where it keeps versions, List shows all of them. It
// deletes nothing, judges no signature, and never prints a credential.
package anchor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// ErrEquivocation is a place that holds another checkpoint of the same log and
// the same size: one of the two is false.
var ErrEquivocation = errors.New("the anchor holds another checkpoint of the same log and size")

// Kept is a checkpoint that an anchor holds.
type Kept struct {
	Origin  string
	Size    uint64
	Version string // in a bucket that keeps versions
}

// Anchor is one place outside the database. Its methods may be called from
// several goroutines.
type Anchor interface {
	// Put keeps the note of a checkpoint. The same one again is no error.
	Put(ctx context.Context, c proof.Checkpoint, note []byte) error
	// Origins names the logs that have checkpoints here.
	Origins(ctx context.Context) ([]string, error)
	// List tells which checkpoints of a log are here, from a size on, the
	// smallest first. Several versions of one size follow each other.
	List(ctx context.Context, origin string, from uint64) ([]Kept, error)
	// Read gives the note of one.
	Read(ctx context.Context, k Kept) ([]byte, error)
	// String is the place, without credentials.
	String() string
}

// Options are what an anchor needs beside its URL.
type Options struct {
	// Until is how long a bucket with Object Lock keeps what is put now: nobody
	// can delete it before. nil: as the bucket itself says.
	Until func() time.Time
}

// Open reads the URL of an anchor and reaches nothing yet: file:///dir, or
// s3://bucket/prefix?endpoint=https://host&region=R with credentials from the
// AWS variables, the shared credentials file or the machine's role.
func Open(text string, o Options) (Anchor, error) {
	u, err := parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		return &folder{dir: u.Path}, nil
	}
	return newBucket(u, o)
}

// Check tells what is wrong with the URL of an anchor.
func Check(text string) error {
	_, err := parse(text)
	return err
}

func parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.User != nil:
		return nil, errors.New("credentials do not belong into it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.Scheme == "file" && u.Host == "" && strings.HasPrefix(u.Path, "/") && u.RawQuery == "":
		return u, nil
	case u.Scheme == "s3" && u.Host != "":
		return u, checkQuery(u.Query())
	}
	return nil, errors.New("a folder is written file:///path, a bucket s3://bucket/prefix")
}

func checkQuery(q url.Values) error {
	for name := range q {
		if name != "endpoint" && name != "region" {
			return fmt.Errorf("it knows endpoint and region, and not %q", name)
		}
	}
	if end := q.Get("endpoint"); end != "" {
		u, err := url.Parse(end)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" {
			return errors.New("its endpoint must be http:// or https:// and a host")
		}
	}
	return nil
}

const suffix = ".txt"

var (
	folderName = regexp.MustCompile(`^[0-9a-f]{32}$`)
	fileName   = regexp.MustCompile(`^[0-9]{20}\.txt$`)
)

// name is the place of a checkpoint below the anchor.
func name(origin string, size uint64) string {
	return folderOf(origin) + "/" + fmt.Sprintf("%020d", size) + suffix
}

func folderOf(origin string) string { return origin[strings.LastIndexByte(origin, '/')+1:] }

// sizeOf reads the name of a file.
func sizeOf(file string) (uint64, bool) {
	if !fileName.MatchString(file) {
		return 0, false
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(file, suffix), 10, 64)
	return size, err == nil
}

// checkName refuses an origin that has no place here.
func checkName(origin string) error {
	if !folderName.MatchString(folderOf(origin)) || origin != proof.OriginPrefix+folderOf(origin) {
		return fmt.Errorf("%q is not the origin of a purge log", origin)
	}
	return nil
}
