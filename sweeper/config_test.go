package sweeper_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgsweeper/sweeper/sweeper"
	"github.com/pgsweeper/sweeper/sweeper/policy"
)

const (
	goodURL    = "postgres://purger:hunter2@db.example:6432/shop"
	goodSigner = "PRIVATE+KEY+acme+f59649ac+AbBpEFW5DYHLnFHZSGRnaMD5YD9yvF7CBFYPewT1+tZ+"
	goodKey    = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

func TestLoadDefaults(t *testing.T) {
	t.Parallel()
	got, warnings, err := sweeper.Load([]string{"SWEEPER_SLOT=", "PATH=/bin"})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, warnings %q", err, warnings)
	}
	if !got.DatabaseURL.IsZero() || !got.HMACKey.IsZero() || got.HMACKey.First.Bytes() != nil {
		t.Error("an empty environment has a database or a key")
	}
	want := sweeper.Config{
		Policies: "/etc/sweeper/policies", Slot: "sweeper", Publication: "sweeper", Timezone: "UTC",
		BatchRows: 10000, BatchTarget: 250 * time.Millisecond, Workers: 2,
		LockTimeout: 2 * time.Second, StatementTimeout: 30 * time.Second,
		Approve: sweeper.ApproveManual, LogLevel: slog.LevelInfo, LogFormat: sweeper.FormatAuto,
		ShutdownGrace: 25 * time.Second, MaxReplicaLag: 10 * time.Second, MaxSlotLag: 1 << 30, SlotLimit: 8 << 30, LogRetention: sweeper.LogRetention{Period: policy.Period{Years: 7}}, HTTPAddr: ":9637",
	}
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Error(diff)
	}
}

// plain renders a Config for comparison: its URLs and keys hold functions.
func plain(c sweeper.Config) string { return fmt.Sprintf("%+v", c) }

func TestLoadSetsEveryField(t *testing.T) {
	t.Parallel()
	got, warnings, err := sweeper.Load([]string{
		"SWEEPER_DATABASE_URL=" + goodURL, "SWEEPER_REPLICATION_URL=host=direct user=logger dbname=shop",
		"SWEEPER_INSTALL_URL=postgresql:///shop?host=/run/postgresql&user=owner",
		"SWEEPER_ALLOW_SUPERUSER=true", "SWEEPER_POLICIES=p.yaml", "SWEEPER_SLOT=slot_1",
		"SWEEPER_PUBLICATION=" + strings.Repeat("p", 56), "SWEEPER_HMAC_KEY=" + goodKey,
		"SWEEPER_TIMEZONE=Europe/Berlin", "SWEEPER_BATCH_ROWS=100000", "SWEEPER_BATCH_TARGET=10ms",
		"SWEEPER_WORKERS=16", "SWEEPER_LOCK_TIMEOUT=100ms", "SWEEPER_STATEMENT_TIMEOUT=10m",
		"SWEEPER_APPROVE=auto", "SWEEPER_LOG_LEVEL=DEBUG", "SWEEPER_LOG_FORMAT=json", "SWEEPER_SHUTDOWN_GRACE=1s",
		"SWEEPER_ROWS_PER_SECOND=5000", "SWEEPER_WINDOW=22:00-05:00", "SWEEPER_SLOT_LIMIT=512MiB", "SWEEPER_HTTP_ADDR=", "SWEEPER_LOG_RETENTION=10 years",
		"SWEEPER_SIGNING_KEY=" + goodSigner, "SWEEPER_ANCHOR_URL=file:///a, s3://b/c?endpoint=http://127.0.0.1:9&region=r", "SWEEPER_CONFIRM_DELAY=1m",
	})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, warnings %q", err, warnings)
	}
	text := plain(got)
	for _, want := range []string{
		`database "shop" at db.example:6432 as "purger"`, `database "shop" at direct:5432 as "logger"`,
		`database "shop" at /run/postgresql:5432 as "owner"`, "AllowSuperuser:true", "slot_1", "Europe/Berlin",
		"BatchRows:100000", "BatchTarget:10ms", "Workers:16", "StatementTimeout:10m0s", "Approve:auto",
		"LogLevel:DEBUG", "LogFormat:json", "ShutdownGrace:1s",
		"RowsPerSecond:5000", "Window:22:00-05:00", "SlotLimit:512MiB", "LogRetention:P10Y", "HTTPAddr:off",
		"SigningKey:acme+", "AnchorURL:[file:///a s3://b/c?endpoint=http://127.0.0.1:9&region=r]", "ConfirmDelay:1m0s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if strings.Contains(text, "PRIVATE") || strings.Contains(text, goodSigner[len(goodSigner)-20:]) {
		t.Error("the signing key is printed")
	}
	if got.DatabaseURL.Reveal() != goodURL {
		t.Error("Reveal does not give the URL back")
	}
}

func TestLoadDefaultsOfURLs(t *testing.T) {
	t.Parallel()
	got, _, err := sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + goodURL})
	if err != nil {
		t.Fatal(err)
	}
	if got.ReplicationURL.Reveal() != goodURL || got.InstallURL.Reveal() != goodURL {
		t.Error("the other URLs do not default to the database's")
	}
	got, _, err = sweeper.Load([]string{"PGHOST=db.example"})
	if err != nil {
		t.Fatal(err)
	}
	if got.DatabaseURL.IsZero() || got.ReplicationURL.IsZero() || got.DatabaseURL.Reveal() != "" {
		t.Error("libpq's variables are not taken for a database")
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"SWEEPER_DATABASE_URL=mysql://u:hunter2@h/d":                                      "SWEEPER_DATABASE_URL: is not a PostgreSQL URL or keyword string; write postgres://user:password@host:5432/database",
		"SWEEPER_REPLICATION_URL=hunter2:5432/d?sslmode=off":                              "SWEEPER_REPLICATION_URL: is not a PostgreSQL",
		"SWEEPER_INSTALL_URL=postgres://h:hunter2/d":                                      "SWEEPER_INSTALL_URL: is not a PostgreSQL",
		"SWEEPER_DATABASE_URL=postgres://h/d?sslmode=verify-full&sslrootcert=/no/hunter2": "SWEEPER_DATABASE_URL: names a certificate",
		"SWEEPER_ALLOW_SUPERUSER=hunter2":                                                 "SWEEPER_ALLOW_SUPERUSER: must be true or false",
		"SWEEPER_SLOT=Hunter2":                                                            "SWEEPER_SLOT: must be 1 to 63 of a-z, 0-9 and _",
		"SWEEPER_SLOT=hunter2" + strings.Repeat("s", 60):                                  "SWEEPER_SLOT: must be 1 to 63",
		"SWEEPER_PUBLICATION=hunter2" + strings.Repeat("é", 25):                           "SWEEPER_PUBLICATION: must be a name of at most 56 bytes",
		"SWEEPER_PUBLICATION=hunter2\x1b":                                                 "SWEEPER_PUBLICATION: must be a name",
		"SWEEPER_HMAC_KEY=hunter2":                                                        "SWEEPER_HMAC_KEY: must be 32 bytes or more; create one with: openssl rand -hex 32",
		"SWEEPER_HMAC_KEY=hunter2!":                                                       "SWEEPER_HMAC_KEY: must be hex or base64, with a comma between two keys; create",
		"SWEEPER_HMAC_KEY=" + goodKey + "0":                                               "SWEEPER_HMAC_KEY: must be hex or base64",
		"SWEEPER_HMAC_KEY=" + goodKey[2:]:                                                 "SWEEPER_HMAC_KEY: must be 32 bytes or more",
		"SWEEPER_HMAC_KEY=" + goodKey + ",":                                               "SWEEPER_HMAC_KEY: must be",
		"SWEEPER_HMAC_KEY=" + goodKey + "," + goodKey + "," + goodKey:                     "SWEEPER_HMAC_KEY: holds more than two keys",
		"SWEEPER_SIGNING_KEY=hunter2":                                                     "SWEEPER_SIGNING_KEY: is not an Ed25519 signer key, PRIVATE+KEY+name+hash+data, or two with a comma between them; create one with: sweeper log keygen NAME",
		"SWEEPER_SIGNING_KEY=" + goodSigner + "," + goodSigner:                            "SWEEPER_SIGNING_KEY: holds one key twice",
		"SWEEPER_SIGNING_KEY=" + goodSigner + ",,":                                        "SWEEPER_SIGNING_KEY: holds more than two keys",
		"SWEEPER_ANCHOR_URL=/hunter2":                                                     "SWEEPER_ANCHOR_URL: must be file:///dir or s3://bucket/prefix",
		"SWEEPER_ANCHOR_URL=s3://u:hunter2@b/p":                                           "SWEEPER_ANCHOR_URL: must be file:///dir or s3://bucket/prefix, with a comma between several: credentials do not belong into it",
		"SWEEPER_ANCHOR_URL=s3://b?secret=hunter2":                                        "SWEEPER_ANCHOR_URL: must be file:///dir or s3://bucket/prefix, with a comma between several: it knows endpoint and region",
		"SWEEPER_ANCHOR_URL=file:///hunter2,file:///hunter2":                              "SWEEPER_ANCHOR_URL: names one anchor twice",
		"SWEEPER_CONFIRM_DELAY=-1s":                                                       "SWEEPER_CONFIRM_DELAY: must be a duration from 0s to 24h",
		"SWEEPER_TIMEZONE=Europe/hunter2":                                                 "SWEEPER_TIMEZONE: must be an IANA zone such as Europe/Berlin",
		"SWEEPER_TIMEZONE=Local":                                                          "SWEEPER_TIMEZONE: must be an IANA zone",
		"SWEEPER_BATCH_ROWS=0":                                                            "SWEEPER_BATCH_ROWS: must be a whole number from 1 to 100000, for example 10000",
		"SWEEPER_BATCH_ROWS=100001":                                                       "SWEEPER_BATCH_ROWS: must be",
		"SWEEPER_BATCH_ROWS=0100":                                                         "SWEEPER_BATCH_ROWS: must be",
		"SWEEPER_BATCH_ROWS=99999999999999999999":                                         "SWEEPER_BATCH_ROWS: must be",
		"SWEEPER_BATCH_TARGET=250":                                                        "SWEEPER_BATCH_TARGET: must be a duration from 10ms to 30s, for example 250ms",
		"SWEEPER_BATCH_TARGET=9ms":                                                        "SWEEPER_BATCH_TARGET: must be",
		"SWEEPER_WORKERS=17":                                                              "SWEEPER_WORKERS: must be a whole number from 1 to 16, for example 2",
		"SWEEPER_WORKERS=-1":                                                              "SWEEPER_WORKERS: must be",
		"SWEEPER_LOCK_TIMEOUT=99ms":                                                       "SWEEPER_LOCK_TIMEOUT: must be a duration from 100ms to 10m",
		"SWEEPER_STATEMENT_TIMEOUT=11m":                                                   "SWEEPER_STATEMENT_TIMEOUT: must be",
		"SWEEPER_APPROVE=yes":                                                             "SWEEPER_APPROVE: must be manual or auto",
		"SWEEPER_LOG_LEVEL=loud":                                                          "SWEEPER_LOG_LEVEL: must be debug, info, warn or error",
		"SWEEPER_LOG_FORMAT=tint":                                                         "SWEEPER_LOG_FORMAT: must be auto, text or json",
		"SWEEPER_SHUTDOWN_GRACE=0s":                                                       "SWEEPER_SHUTDOWN_GRACE: must be a duration",
		"SWEEPER_ROWS_PER_SECOND=-1":                                                      "SWEEPER_ROWS_PER_SECOND: must be a whole number from 0 to 10000000",
		"SWEEPER_WINDOW=22:00-24:00":                                                      "SWEEPER_WINDOW: must be hours such as 22:00-05:00",
		"SWEEPER_WINDOW=05:00-05:00":                                                      "SWEEPER_WINDOW: must be",
		"SWEEPER_SLOT_LIMIT=8GB":                                                          "SWEEPER_SLOT_LIMIT: must be a size such as 512MiB or 8GiB",
		"SWEEPER_HTTP_ADDR=9637":                                                          "SWEEPER_HTTP_ADDR: must be host:port, :port or off",
	} {
		cfg, _, err := sweeper.Load([]string{entry})
		if err == nil {
			t.Errorf("%q is accepted", entry)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, want) || strings.Contains(text, "\n") {
			t.Errorf("%q gives %q, want %q", entry, text, want)
		}
		if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%q: the error repeats the value: %v", entry, err)
		}
		if diff := cmp.Diff(plain(sweeper.Config{}), plain(cfg)); diff != "" {
			t.Errorf("%q: an error comes with a configuration:\n%s", entry, diff)
		}
	}
}

func TestLoadReportsAllAtOnce(t *testing.T) {
	t.Parallel()
	_, warnings, err := sweeper.Load([]string{
		"SWEEPER_WORKERS=none", "SWEEPER_SLOT=UPPER", "SWEEPER_DATABASE_URL=nonsense",
		"SWEEPER_HMAC_KEY=short", "SWEEPER_POLICIES_FILE=/nowhere/at/all", "SWEEPER_WORKER=3",
	})
	var names []string
	for _, line := range strings.Split(err.Error(), "\n") {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	want := []string{"SWEEPER_DATABASE_URL", "SWEEPER_POLICIES_FILE", "SWEEPER_SLOT", "SWEEPER_HMAC_KEY", "SWEEPER_WORKERS"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("variables in the error:\n%s", diff)
	}
	if len(warnings) != 1 {
		t.Errorf("warnings beside errors: %q", warnings)
	}
}

func TestLoadFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg, _, err := sweeper.Load([]string{
		"SWEEPER_HMAC_KEY_FILE=" + file("key", goodKey+"\n"),
		"SWEEPER_DATABASE_URL_FILE=" + file("url", goodURL+"\r\n"),
		"SWEEPER_SLOT_FILE=" + file("slot", "from_file"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(cfg.HMACKey.First.Bytes()); got != goodKey {
		t.Errorf("key from the file: %s", got)
	}
	if cfg.DatabaseURL.Reveal() != goodURL || cfg.Slot != "from_file" {
		t.Errorf("from files: %q, slot %q", cfg.DatabaseURL.Reveal(), cfg.Slot)
	}

	for name, refused := range map[string]struct {
		environ []string
		want    string
	}{
		"both set":   {[]string{"SWEEPER_SLOT=a", "SWEEPER_SLOT_FILE=" + file("s", "b")}, "SWEEPER_SLOT: is set along with SWEEPER_SLOT_FILE; set one of the two"},
		"missing":    {[]string{"SWEEPER_SLOT_FILE=" + dir + "/none"}, `SWEEPER_SLOT_FILE: cannot read "` + dir + `/none" (no such file or directory); name a file that this process may read`},
		"directory":  {[]string{"SWEEPER_SLOT_FILE=" + dir}, "SWEEPER_SLOT_FILE: cannot read "},
		"empty":      {[]string{"SWEEPER_SLOT_FILE=" + file("e", "")}, "SWEEPER_SLOT_FILE: "},
		"a newline":  {[]string{"SWEEPER_SLOT_FILE=" + file("n", "\n")}, "is empty; write the value into it"},
		"two lines":  {[]string{"SWEEPER_SLOT_FILE=" + file("t", "a\n\n")}, "SWEEPER_SLOT: must be"},
		"huge":       {[]string{"SWEEPER_SLOT_FILE=" + file("h", strings.Repeat("a", 70000))}, "is larger than 64 KiB"},
		"bad inside": {[]string{"SWEEPER_HMAC_KEY_FILE=" + file("k", "hunter2")}, "SWEEPER_HMAC_KEY: must be 32 bytes"},
	} {
		_, _, err := sweeper.Load(refused.environ)
		if err == nil || !strings.Contains(err.Error(), refused.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %q", name, err, refused.want)
		}
	}
}

func TestLoadKeys(t *testing.T) {
	t.Parallel()
	raw, err := hex.DecodeString(goodKey)
	if err != nil {
		t.Fatal(err)
	}
	odd := bytes.Repeat([]byte{0xfb, 0xef, 0xff}, 11) // "++/v" and "--_v"
	for text, want := range map[string][2][]byte{
		goodKey:                                                 {raw, nil},
		strings.ToUpper(goodKey):                                {raw, nil},
		base64.StdEncoding.EncodeToString(raw):                  {raw, nil},
		base64.RawStdEncoding.EncodeToString(raw):               {raw, nil},
		base64.URLEncoding.EncodeToString(odd):                  {odd, nil},
		base64.StdEncoding.EncodeToString(odd) + "," + goodKey:  {odd, raw},
		goodKey + ", " + base64.StdEncoding.EncodeToString(odd): {raw, odd},
		// All hex digits: hex, though it is base64 as well.
		strings.Repeat("abcd", 16): {bytes.Repeat([]byte{0xab, 0xcd}, 16), nil},
	} {
		cfg, _, err := sweeper.Load([]string{"SWEEPER_HMAC_KEY=" + text})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !bytes.Equal(cfg.HMACKey.First.Bytes(), want[0]) || !bytes.Equal(cfg.HMACKey.Second.Bytes(), want[1]) {
			t.Errorf("%s: got %x and %x", text, cfg.HMACKey.First.Bytes(), cfg.HMACKey.Second.Bytes())
		}
	}
}

func TestLoadWarns(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"SWEEPER_SLOTS=x":                 `"SWEEPER_SLOTS": is not a known variable; did you mean SWEEPER_SLOT?`,
		"SWEEPER_HMACKEY=x":               `"SWEEPER_HMACKEY": is not a known variable; did you mean SWEEPER_HMAC_KEY?`,
		"SWEEPER_HMAC_KEYS_FILE=x":        `"SWEEPER_HMAC_KEYS_FILE": is not a known variable; did you mean SWEEPER_HMAC_KEY?`,
		"SWEEPER_DATABASE=x":              `"SWEEPER_DATABASE": is not a known variable; did you mean SWEEPER_DATABASE_URL?`,
		"SWEEPER_POLICY=x":                `"SWEEPER_POLICY": is not a known variable; did you mean SWEEPER_POLICIES?`,
		"SWEEPER_Slot=x":                  `"SWEEPER_Slot": is not a known variable; did you mean SWEEPER_SLOT?`,
		"SWEEPER_ANCHOR_ULR=x":            `"SWEEPER_ANCHOR_ULR": is not a known variable; did you mean SWEEPER_ANCHOR_URL?`,
		"SWEEPER_MAIL_FROM=x":             "SWEEPER_MAIL_FROM: is not used by this version",
		"SWEEPER_WEBHOOK_SECRET_FILE=x":   "SWEEPER_WEBHOOK_SECRET_FILE: is not used by this version",
		"SWEEPER_BUCKET_DOCUMENTS=x":      "SWEEPER_BUCKET_DOCUMENTS: is not used by this version",
		"SWEEPER_LOCK_TIMEOUT=30s":        "SWEEPER_LOCK_TIMEOUT: is not shorter",
		"SWEEPER_STATEMENT_TIMEOUT=250ms": "SWEEPER_LOCK_TIMEOUT: is not shorter",
		// Nothing of ours, or nothing near.
		"SWEEPER_PORT=tcp://10.0.0.1:9637": "", "SWEEPER_SERVICE_HOST=10.0.0.1": "", "SWEEPER_PORT_9637_TCP_ADDR=x": "",
		"SWEEPER_TEST_DATABASE_URL=x": "", "SWEEPER_DEMO_IMAGE=x": "", "SWEEPER_SOMETHING_ELSE=x": "", "SLOT=x": "",
	} {
		_, warnings, err := sweeper.Load([]string{entry})
		if err != nil {
			t.Errorf("%s: %v", entry, err)
		}
		if got := strings.Join(warnings, "\n"); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	cfg, _, err := sweeper.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Require("lint"); err != nil {
		t.Errorf("nothing needed: %v", err)
	}
	got := cfg.Require("sweep", sweeper.NeedDatabase, sweeper.NeedHMACKey)
	want := "SWEEPER_DATABASE_URL: needed by sweep; write postgres://user:password@host:5432/database, or set libpq's PGHOST, PGUSER and PGDATABASE\n" +
		"SWEEPER_HMAC_KEY: needed by sweep; create one with: openssl rand -hex 32"
	if got == nil || got.Error() != want {
		t.Errorf("got %v\nwant %s", got, want)
	}
	if err := cfg.Require("install", sweeper.NeedInstall, sweeper.NeedReplication); err == nil {
		t.Error("an absent URL does not fail install")
	}
	cfg, _, err = sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + goodURL, "SWEEPER_HMAC_KEY=" + goodKey})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Require("sweep", sweeper.NeedDatabase, sweeper.NeedReplication, sweeper.NeedInstall, sweeper.NeedHMACKey); err != nil {
		t.Error(err)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	cfg, _, err := sweeper.Load([]string{"SWEEPER_DATABASE_URL=" + goodURL, "SWEEPER_HMAC_KEY=" + goodKey})
	if err != nil {
		t.Fatal(err)
	}
	type wrapped struct {
		key sweeper.Secret // unexported: fmt prints it by reflection
		url sweeper.URL
	}
	var out bytes.Buffer
	key := cfg.HMACKey.First
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{cfg, &cfg, cfg.HMACKey, key, &key, cfg.DatabaseURL, &cfg.DatabaseURL, wrapped{key, cfg.DatabaseURL}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	if err := json.NewEncoder(&out).Encode([]any{cfg, key, cfg.DatabaseURL}); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{sweeper.FormatText, sweeper.FormatJSON} {
		log := sweeper.NewLogger(&out, slog.LevelInfo, format, true, false)
		log.Info("start", "config", cfg, "key", key, "url", cfg.DatabaseURL)
	}
	fmt.Fprintln(&out, key.String(), key.GoString(), cfg.DatabaseURL.GoString())

	decimalBytes := strings.Trim(fmt.Sprint(key.Bytes()[:8]), "[]")
	for _, leak := range []string{"hunter2", goodKey[:12], decimalBytes, "0x0, 0x1, 0x2"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is printed", leak)
		}
	}
	if !strings.Contains(out.String(), "[secret]") || !strings.Contains(out.String(), `db.example:6432`) {
		t.Error("neither the placeholder nor the target is printed")
	}
}
