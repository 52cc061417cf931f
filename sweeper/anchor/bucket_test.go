package anchor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"github.com/pgsweeper/sweeper/sweeper/anchor"
)

// gateway is the S3 server of the tests, by its Go module.
const gateway = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

const (
	access = "sweepertest"
	secret = "sweepertestsecret"
)

// store is an S3 server that all tests share.
var store struct {
	once   sync.Once
	addr   string
	err    error
	server *exec.Cmd
	dir    string
	out    bytes.Buffer
}

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if store.server != nil {
		_ = store.server.Process.Kill()
		_ = store.server.Wait()
		_ = os.RemoveAll(store.dir)
	}
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// binary finds the server: SWEEPER_TEST_S3 names it, or it is in the PATH, or
// it is built once into the user's cache, which takes a minute or two.
func binary(ctx context.Context) (string, error) {
	if path := os.Getenv("SWEEPER_TEST_S3"); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "sweeper-test", strings.ReplaceAll(filepath.Base(gateway), "@", "-"))
	path := filepath.Join(bin, "versitygw")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	install := exec.CommandContext(ctx, "go", "install", gateway)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build an S3 server for the tests (or name one in SWEEPER_TEST_S3): %w\n%s", err, out)
	}
	return path, nil
}

func startStore() error {
	ctx := context.Background()
	path, err := binary(ctx)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	store.addr = l.Addr().String()
	_ = l.Close()
	if store.dir, err = os.MkdirTemp("", "sweeper-s3-"); err != nil {
		return err
	}
	data, versions := filepath.Join(store.dir, "data"), filepath.Join(store.dir, "versions")
	for _, dir := range []string{data, versions} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	store.server = exec.Command(path, "--access", access, "--secret", secret, "--port", store.addr, "posix", "--versioning-dir", versions, data)
	store.server.Stdout, store.server.Stderr = &store.out, &store.out
	return store.server.Start()
}

var buckets atomic.Int64

// bucket makes a bucket of the test's own.
func bucket(t *testing.T, locked bool) (url string, client *minio.Client, name string) {
	t.Helper()
	store.once.Do(func() { store.err = startStore() })
	if store.err != nil {
		t.Fatal(store.err)
	}
	client, err := minio.New(store.addr, &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	name = strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	name = fmt.Sprintf("%s-%d", name[max(0, len(name)-50):], buckets.Add(1))
	deadline, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for { // until the server answers
		err := client.MakeBucket(deadline, name, minio.MakeBucketOptions{Region: "us-east-1", ObjectLocking: locked})
		if err == nil {
			return fmt.Sprintf("s3://%s/a/b?endpoint=http://%s&region=us-east-1", name, store.addr), client, name
		}
		if deadline.Err() != nil || minio.ToErrorResponse(err).StatusCode != 0 {
			t.Fatalf("make bucket %s: %v\n%s", name, err, store.out.String())
		}
	}
}

func TestBucketKeepsCheckpoints(t *testing.T) {
	t.Parallel()
	for _, locked := range []bool{false, true} {
		t.Run(fmt.Sprintf("locked-%t", locked), func(t *testing.T) {
			t.Parallel()
			url, _, _ := bucket(t, locked)
			a := open(t, url, anchor.Options{Until: func() time.Time { return time.Now().Add(time.Hour) }})
			keeps(t, a)
			race(t, a)
			if a.String() != url {
				t.Errorf("it prints %s", a)
			}
		})
	}
}

// With Object Lock nobody can delete a checkpoint before its time, and what is
// written over it stands beside it.
func TestLockedBucketShowsEveryVersion(t *testing.T) {
	t.Parallel()
	url, client, name := bucket(t, true)
	until := time.Now().AddDate(8, 0, 0)
	a := open(t, url, anchor.Options{Until: func() time.Time { return until }})
	put(t, a, head(1, 5), "note")
	list, err := a.List(t.Context(), head(1, 0).Origin, 0)
	if err != nil || len(list) != 1 || list[0].Version == "" {
		t.Fatalf("%v, error %v", list, err)
	}
	key := "a/b/01" + strings.Repeat("0", 30) + "/00000000000000000005.txt"
	info, err := client.StatObject(t.Context(), name, key, minio.StatObjectOptions{VersionID: list[0].Version})
	if err != nil {
		t.Fatal(err)
	}
	date, err := time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if mode := info.Metadata.Get("X-Amz-Object-Lock-Mode"); err != nil || mode != "COMPLIANCE" || date.Before(until.Add(-time.Minute)) {
		t.Errorf("mode %q until %v, error %v", mode, date, err)
	}
	if err := client.RemoveObject(t.Context(), name, key, minio.RemoveObjectOptions{VersionID: list[0].Version, GovernanceBypass: true}); err == nil {
		t.Error("a locked checkpoint could be deleted")
	}
	// Whoever may write can hide it behind other versions, and no more.
	if _, err := client.PutObject(t.Context(), name, key, strings.NewReader("forged"), 6, minio.PutObjectOptions{SendContentMd5: true}); err != nil {
		t.Fatal(err)
	}
	list, err = a.List(t.Context(), head(1, 0).Origin, 5)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, error %v", list, err)
	}
	read := map[string]bool{}
	for _, k := range list {
		note, err := a.Read(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		read[string(note)] = true
	}
	if !read["note"] || !read["forged"] {
		t.Errorf("the versions are %v", read)
	}
	if err := client.RemoveObject(t.Context(), name, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if list, err = a.List(t.Context(), head(1, 0).Origin, 0); err != nil || len(list) != 2 {
		t.Errorf("behind a delete marker: %v, error %v", list, err)
	}
}

func TestBucketThatIsNotThere(t *testing.T) {
	t.Parallel()
	url, _, name := bucket(t, false)
	a := open(t, strings.Replace(url, name, "no-such-bucket", 1), anchor.Options{})
	if got, err := a.Origins(t.Context()); err == nil {
		t.Errorf("a bucket that does not exist has origins %q", got)
	}
	if err := a.Put(t.Context(), head(1, 1), []byte("n")); err == nil || errors.Is(err, anchor.ErrEquivocation) {
		t.Errorf("put into no bucket: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	closed := open(t, "s3://b?endpoint=http://127.0.0.1:1&region=r", anchor.Options{})
	if _, err := closed.Origins(ctx); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a server that is not there: %v", err)
	}
}
