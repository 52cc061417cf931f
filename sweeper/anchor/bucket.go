package anchor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

// stepTimeout bounds one request to a bucket, retries included.
const stepTimeout = 20 * time.Second

// bucket is an anchor in S3.
type bucket struct {
	client *minio.Client
	o      Options
	name   string
	prefix string // with its slash, or ""
	text   string

	mu     sync.Mutex // guards locked and looked
	locked bool       // the bucket has Object Lock
	looked bool
}

const awsHost = "s3.amazonaws.com"

func newBucket(u *url.URL, o Options) (*bucket, error) {
	host, secure := awsHost, true
	if end, err := url.Parse(u.Query().Get("endpoint")); err == nil && end.Host != "" {
		host, secure = end.Host, end.Scheme == "https"
	}
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("open anchor %s: %w", u, err)
	}
	client, err := minio.New(host, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
			&credentials.IAM{Client: &http.Client{Transport: transport, Timeout: 5 * time.Second}},
		}),
		Secure: secure, Region: u.Query().Get("region"), Transport: transport, MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("open anchor %s: %w", u, err)
	}
	b := &bucket{client: client, o: o, name: u.Host, text: u.String()}
	if p := strings.Trim(u.Path, "/"); p != "" {
		b.prefix = p + "/"
	}
	return b, nil
}

func (b *bucket) String() string { return b.text }

// Put writes only where nothing is yet, and has the object locked where the
// bucket can.
func (b *bucket) Put(ctx context.Context, c proof.Checkpoint, note []byte) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := checkName(c.Origin); err != nil {
		return b.wrap(fmt.Sprintf("keep checkpoint %d", c.Size), err)
	}
	err := b.put(ctx, b.prefix+name(c.Origin, c.Size), note)
	return b.wrap(fmt.Sprintf("keep checkpoint %d", c.Size), err)
}

func (b *bucket) put(ctx context.Context, key string, note []byte) error {
	// An earlier attempt may have come through without our hearing of it. And a
	// bucket that ignores the condition below is never written over knowingly.
	there, err := b.get(ctx, key, "")
	switch {
	case err == nil:
		return same(there, note)
	case minio.ToErrorResponse(err).StatusCode != http.StatusNotFound:
		return err
	}
	o := minio.PutObjectOptions{ContentType: "text/plain; charset=utf-8", SendContentMd5: true, DisableMultipart: true}
	locked, err := b.hasLock(ctx)
	if err != nil {
		return err
	}
	if locked && b.o.Until != nil {
		o.Mode, o.RetainUntilDate = minio.Compliance, b.o.Until().UTC().Truncate(time.Second)
	}
	o.SetMatchETagExcept("*")
	err = b.write(ctx, key, note, o)
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusPreconditionFailed, http.StatusConflict: // somebody was faster
		if there, err = b.get(ctx, key, ""); err == nil {
			return same(there, note)
		}
	case http.StatusNotImplemented: // it does not know conditions
		plain := o
		plain = minio.PutObjectOptions{ContentType: plain.ContentType, SendContentMd5: true, DisableMultipart: true, Mode: o.Mode, RetainUntilDate: o.RetainUntilDate}
		err = b.write(ctx, key, note, plain)
	}
	return err
}

func (b *bucket) write(ctx context.Context, key string, note []byte, o minio.PutObjectOptions) error {
	_, err := b.client.PutObject(ctx, b.name, key, bytes.NewReader(note), int64(len(note)), o)
	return err
}

func same(there, note []byte) error {
	if !bytes.Equal(there, note) {
		return ErrEquivocation
	}
	return nil
}

// hasLock asks once whether the bucket has Object Lock. Whoever may not ask is
// told so: without the lock a checkpoint could be deleted again.
func (b *bucket) hasLock(ctx context.Context) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.looked {
		return b.locked, nil
	}
	enabled, _, _, _, err := b.client.GetObjectLockConfig(ctx, b.name)
	switch r := minio.ToErrorResponse(err); {
	case err == nil:
		b.locked = enabled == "Enabled"
	case r.Code == "ObjectLockConfigurationNotFoundError", r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket, r.StatusCode == http.StatusNotImplemented:
		b.locked = false
	default:
		return false, fmt.Errorf("ask whether the bucket has Object Lock (the permission is s3:GetBucketObjectLockConfiguration): %w", err)
	}
	b.looked = true
	return b.locked, nil
}

func (b *bucket) get(ctx context.Context, key, version string) ([]byte, error) {
	object, err := b.client.GetObject(ctx, b.name, key, minio.GetObjectOptions{VersionID: version})
	if err != nil {
		return nil, err
	}
	defer func() { _ = object.Close() }()
	note, err := io.ReadAll(io.LimitReader(object, largest+1))
	if err == nil && len(note) > largest {
		err = errors.New("the object is too large for a checkpoint")
	}
	return note, err
}

// Origins names the folders directly below the prefix.
func (b *bucket) Origins(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var all []string
	for object := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix}) {
		if object.Err != nil {
			return nil, b.wrap("look", object.Err)
		}
		if dir := path.Base(object.Key); strings.HasSuffix(object.Key, "/") && folderName.MatchString(dir) {
			all = append(all, proof.OriginPrefix+dir)
		}
	}
	return all, nil
}

// List shows every version of every object: what was written over, or hidden
// behind a delete marker, is still there.
func (b *bucket) List(ctx context.Context, origin string, from uint64) ([]Kept, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*stepTimeout)
	defer cancel()
	prefix := b.prefix + folderOf(origin) + "/"
	o := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}
	if from > 0 {
		o.StartAfter = b.prefix + name(origin, from-1)
	}
	var all []Kept
	for object := range b.client.ListObjects(ctx, b.name, o) {
		if object.Err != nil {
			return nil, b.wrap("look", object.Err)
		}
		size, ok := sizeOf(strings.TrimPrefix(object.Key, prefix))
		if ok && size >= from && !object.IsDeleteMarker {
			all = append(all, Kept{Origin: origin, Size: size, Version: object.VersionID})
		}
	}
	slices.SortStableFunc(all, func(a, b Kept) int { return cmp.Compare(a.Size, b.Size) })
	return all, nil
}

func (b *bucket) Read(ctx context.Context, k Kept) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	note, err := b.get(ctx, b.prefix+name(k.Origin, k.Size), k.Version)
	return note, b.wrap(fmt.Sprintf("read checkpoint %d", k.Size), err)
}

func (b *bucket) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in %s: %w", op, b, err)
}
