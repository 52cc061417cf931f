package sweeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the image holds nothing but the binary, and zones are checked at start
	"unicode"
	"unicode/utf8"

	"github.com/sethvargo/go-envconfig"

	"github.com/pgsweeper/sweeper/sweeper/policy"
	"github.com/pgsweeper/sweeper/sweeper/schedule"
)

// Config is what the environment says, one line a variable. Each SWEEPER_X is
// also read from the file that SWEEPER_X_FILE names. The tags: env holds name
// and default, range what is allowed (both ends included), want what an error
// tells the user to write. Only Load makes a valid one.
type Config struct {
	DatabaseURL      URL           `env:"SWEEPER_DATABASE_URL"`                                                    // read-write primary, as the purging role; libpq's PG* when empty
	ReplicationURL   URL           `env:"SWEEPER_REPLICATION_URL"`                                                 // direct connection of the logging role; DatabaseURL when empty
	InstallURL       URL           `env:"SWEEPER_INSTALL_URL"`                                                     // may create schema, roles, publications; DatabaseURL when empty
	AllowSuperuser   bool          `env:"SWEEPER_ALLOW_SUPERUSER, default=false" want:"true or false"`             // a purging superuser is refused unless set
	Policies         string        `env:"SWEEPER_POLICIES, default=/etc/sweeper/policies" want:"a path"`           // file, or directory of *.yaml
	Slot             string        `env:"SWEEPER_SLOT, default=sweeper" want:"1 to 63 of a-z, 0-9 and _"`          // replication slot
	Publication      string        `env:"SWEEPER_PUBLICATION, default=sweeper" want:"a name of at most 56 bytes"`  // prefix: X, X_redact, X_stamp
	HMACKey          Keys          `env:"SWEEPER_HMAC_KEY"`                                                        // 32 bytes or more each; the second finds old digests
	SigningKey       SigningKeys   `env:"SWEEPER_SIGNING_KEY"`                                                     // signs checkpoints; the second signs a rotation too
	AnchorURL        AnchorURLs    `env:"SWEEPER_ANCHOR_URL"`                                                      // where checkpoints are kept outside the database
	ConfirmDelay     time.Duration `env:"SWEEPER_CONFIRM_DELAY, default=0s" range:"0s..24h"`                       // LSNs are confirmed and checkpoints made this much late
	Timezone         string        `env:"SWEEPER_TIMEZONE, default=UTC" want:"an IANA zone such as Europe/Berlin"` // default zone of policies
	AllowRawSQL      bool          `env:"SWEEPER_ALLOW_RAW_SQL, default=false" want:"true or false"`               // permits where_sql in policies
	BatchRows        int           `env:"SWEEPER_BATCH_ROWS, default=10000" range:"1..100000"`                     // largest batch, in rows
	BatchTarget      time.Duration `env:"SWEEPER_BATCH_TARGET, default=250ms" range:"10ms..30s"`                   // duration that adaptive sizing aims at
	Workers          int           `env:"SWEEPER_WORKERS, default=2" range:"1..16"`                                // steps in parallel
	LockTimeout      time.Duration `env:"SWEEPER_LOCK_TIMEOUT, default=2s" range:"100ms..10m"`                     // per lock wait of a purging transaction
	StatementTimeout time.Duration `env:"SWEEPER_STATEMENT_TIMEOUT, default=30s" range:"100ms..10m"`               // per statement of a purging transaction
	Approve          string        `env:"SWEEPER_APPROVE, default=manual" want:"manual or auto"`                   // ApproveAuto: a run over its limits needs no approval
	LogLevel         slog.Level    `env:"SWEEPER_LOG_LEVEL, default=info" want:"debug, info, warn or error"`       // of what NewLogger lets through
	LogFormat        string        `env:"SWEEPER_LOG_FORMAT, default=auto" want:"auto, text or json"`              // FormatAuto: text on a terminal, else JSON
	ShutdownGrace    time.Duration `env:"SWEEPER_SHUTDOWN_GRACE, default=25s" range:"100ms..10m"`                  // for the batch in flight
	RowsPerSecond    int           `env:"SWEEPER_ROWS_PER_SECOND, default=0" range:"0..10000000"`                  // of all replicas together; 0: no limit
	MaxReplicaLag    time.Duration `env:"SWEEPER_MAX_REPLICA_LAG, default=10s" range:"0s..24h"`                    // of a physical standby, above which no batch begins; 0: not looked at
	MaxSlotLag       Bytes         `env:"SWEEPER_MAX_SLOT_LAG, default=1GiB" want:"a size such as 512MiB or 1GiB"` // WAL that the purge log may be behind, likewise; 0: not looked at
	Window           string        `env:"SWEEPER_WINDOW" want:"hours such as 22:00-05:00"`                         // in Timezone, when scheduled runs purge; "": always
	SlotLimit        Bytes         `env:"SWEEPER_SLOT_LIMIT, default=8GiB" want:"a size such as 512MiB or 8GiB"`   // retained WAL at which the slot is given up; 0: never
	LogRetention     LogRetention  `env:"SWEEPER_LOG_RETENTION, default=P7Y"`                                      // of the purge log: P7Y or longer
	HTTPAddr         string        `env:"SWEEPER_HTTP_ADDR, default=:9637" want:"host:port, :port or off"`         // probes, metrics, status page; HTTPOff: none
}

// The values of Config.Approve.
const (
	ApproveManual = "manual"
	ApproveAuto   = "auto"
)

// HTTPOff is the value of Config.HTTPAddr without a server. An empty variable
// means the same.
const HTTPOff = "off"

// publicationRoom is what the longest suffix, "_redact", leaves of the 63
// bytes of a name.
const publicationRoom = 63 - len("_redact")

// checks are the rules that a range cannot say, by variable.
var checks = map[string]func(text string) bool{
	"SWEEPER_SLOT":        regexp.MustCompile(`^[a-z0-9_]{1,63}$`).MatchString,
	"SWEEPER_PUBLICATION": isPublication,
	"SWEEPER_TIMEZONE":    isZone,
	"SWEEPER_APPROVE":     regexp.MustCompile(`^(manual|auto)$`).MatchString,
	"SWEEPER_LOG_FORMAT":  regexp.MustCompile(`^(auto|text|json)$`).MatchString,
	"SWEEPER_WINDOW":      isWindow,
	"SWEEPER_HTTP_ADDR":   isListenAddress,
}

// decimal is a whole number without base prefix or leading zero: the decoder
// below would read 010 as eight.
var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// ConfigError is one thing that is wrong with the environment. It never holds
// a value, whatever the variable.
type ConfigError struct {
	Variable string // SWEEPER_SLOT
	Problem  string // what is wrong and what to write
}

// Error prints one sentence that begins with the variable's name.
func (e *ConfigError) Error() string { return e.Variable + ": " + e.Problem }

// Load reads the configuration from environ, in the form of os.Environ. An
// empty variable counts as unset. It returns all problems at once, as joined
// *ConfigError in the order of Config's fields, and then no Config. Warnings
// are sentences for the log: unknown names close to a known one, variables of
// later versions, values that work against each other.
func Load(environ []string) (Config, []string, error) {
	env := readEnviron(environ)
	problems := env.problems
	var cfg Config
	for field, target := range fields(&cfg) {
		if p := decode(field, target, env.values); p != nil {
			problems = append(problems, p)
		}
	}
	if p := fillURLs(&cfg, env.libpq); p != nil {
		problems = append(problems, p)
	}
	warnings := env.warnings
	if len(problems) > 0 {
		return Config{}, warnings, joinInOrder(problems)
	}
	return cfg, append(warnings, conflicts(cfg)...), nil
}

// PolicyDefaults is what the environment says where a policy file does not.
func (c Config) PolicyDefaults() policy.Defaults {
	return policy.Defaults{Timezone: c.Timezone, AllowRawSQL: c.AllowRawSQL}
}

// fields yields the fields of cfg with the variable's own place to write to.
func fields(cfg *Config) func(func(reflect.StructField, reflect.Value) bool) {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		v := reflect.ValueOf(cfg).Elem()
		for i := range v.NumField() {
			if !yield(v.Type().Field(i), v.Field(i)) {
				return
			}
		}
	}
}

// variable is the name in a field's env tag.
func variable(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
	return name
}

// decode fills one field. The decoder stops at its first error and names the
// Go field, so it is given a struct with this field alone, and its text is
// replaced by ours, which holds no value.
func decode(field reflect.StructField, target reflect.Value, values map[string]string) *ConfigError {
	name := variable(field)
	wrong := &ConfigError{name, "must be " + wanted(field)}
	raw, set := values[name]
	if set && field.Type == reflect.TypeFor[int]() && !decimal.MatchString(raw) {
		return wrong
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: field.Name, Type: field.Type, Tag: field.Tag}}))
	err := envconfig.ProcessWith(context.Background(), &envconfig.Config{
		Target:   one.Interface(),
		Lookuper: envconfig.MapLookuper(values),
	})
	var own invalid
	switch check := checks[name]; {
	case errors.As(err, &own):
		return &ConfigError{name, string(own)}
	case err != nil, set && check != nil && !check(raw), !inRange(field, one.Elem().Field(0)):
		return wrong
	}
	target.Set(one.Elem().Field(0))
	return nil
}

// wanted says what to write into a variable, with its default as an example.
func wanted(field reflect.StructField) string {
	if want := field.Tag.Get("want"); want != "" {
		return want
	}
	low, high, _ := strings.Cut(field.Tag.Get("range"), "..")
	_, example, _ := strings.Cut(field.Tag.Get("env"), "default=")
	kind := "a whole number"
	if field.Type == reflect.TypeFor[time.Duration]() {
		kind = "a duration"
	}
	return fmt.Sprintf("%s from %s to %s, for example %s", kind, low, high, example)
}

// inRange tells whether a number or duration is within the field's range tag.
func inRange(field reflect.StructField, value reflect.Value) bool {
	low, high, limited := strings.Cut(field.Tag.Get("range"), "..")
	return !limited || bound(field, low) <= value.Int() && value.Int() <= bound(field, high)
}

// bound reads one end of a range tag, in the field's own unit.
func bound(field reflect.StructField, text string) int64 {
	if field.Type == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			panic("range tag of " + field.Name + ": " + err.Error())
		}
		return int64(d)
	}
	var n int64
	if _, err := fmt.Sscan(text, &n); err != nil {
		panic("range tag of " + field.Name + ": " + err.Error())
	}
	return n
}

// fillURLs lets the other connections default to the application's, and that
// one to libpq's variables.
func fillURLs(cfg *Config, libpq bool) *ConfigError {
	if cfg.DatabaseURL.IsZero() && libpq {
		if err := cfg.DatabaseURL.EnvDecode(""); err != nil {
			return &ConfigError{"SWEEPER_DATABASE_URL", "is not set, and libpq's PG* variables are not valid together; " + writeURL}
		}
	}
	if cfg.ReplicationURL.IsZero() {
		cfg.ReplicationURL = cfg.DatabaseURL
	}
	if cfg.InstallURL.IsZero() {
		cfg.InstallURL = cfg.DatabaseURL
	}
	return nil
}

// conflicts warns of values that are fine alone and defeat one another.
func conflicts(cfg Config) []string {
	var warnings []string
	if cfg.LockTimeout >= cfg.StatementTimeout {
		warnings = append(warnings, "SWEEPER_LOCK_TIMEOUT: is not shorter than SWEEPER_STATEMENT_TIMEOUT, so that it never ends a wait")
	}
	if cfg.BatchTarget >= cfg.StatementTimeout {
		warnings = append(warnings, "SWEEPER_BATCH_TARGET: is not shorter than SWEEPER_STATEMENT_TIMEOUT, so that batches grow until they time out")
	}
	return warnings
}

// joinInOrder joins the problems in the order of Config's fields.
func joinInOrder(problems []*ConfigError) error {
	var errs []error
	for field := range fields(&Config{}) {
		for _, p := range problems {
			if strings.TrimSuffix(p.Variable, "_FILE") == variable(field) {
				errs = append(errs, p)
			}
		}
	}
	return errors.Join(errs...)
}

func isPublication(name string) bool {
	return name != "" && len(name) <= publicationRoom && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unicode.IsControl)
}

// isZone accepts what both Go and the server know by the same name. "Local"
// would mean another zone on each.
func isZone(name string) bool {
	if name == "" || name == "Local" {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

// Need is something that a verb cannot do without and that has no default.
type Need string

// The needs, each the variable that fills it.
const (
	NeedDatabase    Need = "SWEEPER_DATABASE_URL"
	NeedReplication Need = "SWEEPER_REPLICATION_URL"
	NeedInstall     Need = "SWEEPER_INSTALL_URL"
	NeedHMACKey     Need = "SWEEPER_HMAC_KEY"
)

// Require returns one *ConfigError, joined, for each of needs that is missing;
// verb is who asks.
func (c Config) Require(verb string, needs ...Need) error {
	var errs []error
	for _, need := range needs {
		missing, remedy := false, writeURL+", or set libpq's PGHOST, PGUSER and PGDATABASE"
		switch need {
		case NeedDatabase:
			missing = c.DatabaseURL.IsZero()
		case NeedReplication:
			missing = c.ReplicationURL.IsZero()
		case NeedInstall:
			missing = c.InstallURL.IsZero()
		case NeedHMACKey:
			missing, remedy = c.HMACKey.IsZero(), createKey
		}
		if missing {
			errs = append(errs, &ConfigError{string(need), "needed by " + verb + "; " + remedy})
		}
	}
	return errors.Join(errs...)
}

func isWindow(text string) bool {
	_, err := schedule.ParseWindow(text, "UTC")
	return err == nil
}

func isListenAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	n, bad := strconv.ParseUint(port, 10, 16)
	return text == HTTPOff || err == nil && bad == nil && n > 0
}
