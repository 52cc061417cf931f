package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

// outcome is what one command line left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// try runs one command line with an environment of its own, and verbs beside
// those of the program.
func try(t *testing.T, environ []string, args []string, extra ...func(*app) *cobra.Command) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, environ: environ, now: time.Now, verbs: slices.Concat(allVerbs, extra)}
	code := a.run(t.Context(), args)
	return outcome{code, stdout.String(), stderr.String()}
}

// needy is a verb that asks for a database and a key.
func needy(a *app) *cobra.Command {
	return &cobra.Command{Use: "needy", RunE: func(*cobra.Command, []string) error {
		_, log, err := a.load("needy", sweeper.NeedDatabase, sweeper.NeedHMACKey)
		if err != nil {
			return err
		}
		log.Info("ready")
		return nil
	}}
}

// holder is a verb that only holds others.
func holder(*app) *cobra.Command {
	cmd := &cobra.Command{Use: "holder"}
	cmd.AddCommand(&cobra.Command{Use: "list", RunE: func(*cobra.Command, []string) error { return nil }})
	return group(cmd)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]outcome{
		"":                  {2, "", "sweeper: sweeper needs a verb (see: sweeper --help)\n"},
		"versoin":           {2, "", "sweeper: sweeper has no verb \"versoin\"; did you mean version? (see: sweeper --help)\n"},
		"nonsense":          {2, "", "sweeper: sweeper has no verb \"nonsense\" (see: sweeper --help)\n"},
		"non\x1b[2Jsense":   {2, "", "sweeper: sweeper has no verb \"non\\\\u001b[2Jsense\" (see: sweeper --help)\n"},
		"--nope":            {2, "", "sweeper: unknown flag: --nope (see: sweeper --help)\n"},
		"version --nope":    {2, "", "sweeper: unknown flag: --nope (see: sweeper version --help)\n"},
		"version -o xml":    {2, "", "sweeper: invalid argument \"xml\" for \"-o, --output\" flag: write table, json or csv (see: sweeper version --help)\n"},
		"version beside":    {2, "", "sweeper: unknown command \"beside\" for \"sweeper version\" (see: sweeper version --help)\n"},
		"holder":            {2, "", "sweeper: sweeper holder needs a verb (see: sweeper holder --help)\n"},
		"holder lits":       {2, "", "sweeper: sweeper holder has no verb \"lits\"; did you mean list? (see: sweeper holder --help)\n"},
		"holder list":       {0, "", ""},
		"completion":        {2, "", "sweeper: sweeper completion needs a verb (see: sweeper completion --help)\n"},
		"completion gibber": {2, "", "sweeper: sweeper completion has no verb \"gibber\" (see: sweeper completion --help)\n"},
	} {
		if got := try(t, nil, strings.Fields(line), holder); got != want {
			t.Errorf("%q:\ngot  %+v\nwant %+v", line, got, want)
		}
	}
}

func TestHelpAndCompletion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"--help":                 "Available Commands:",
		"help version":           "Print the version",
		"version -h":             "-o, --output format",
		"completion bash":        "# bash completion",
		"completion zsh":         "#compdef sweeper",
		"__complete version -o ": "table\njson\ncsv\n",
	} {
		args := strings.Split(line, " ")
		if got := try(t, nil, args); got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	const key = "SWEEPER_HMAC_KEY=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	for name, tc := range map[string]struct {
		environ []string
		code    int
		want    []string
	}{
		"missing": {nil, 2, []string{"sweeper: SWEEPER_DATABASE_URL: needed by needy; write", "\nsweeper: SWEEPER_HMAC_KEY: needed by needy; create one with"}},
		"wrong": {
			[]string{"SWEEPER_WORKERS=0", "SWEEPER_SLOT=A", "SWEEPER_SLOTT=x"},
			2,
			[]string{"sweeper: warning: \"SWEEPER_SLOTT\": is not a known", "\nsweeper: SWEEPER_SLOT: must be", "\nsweeper: SWEEPER_WORKERS: must be"},
		},
		"complete": {
			[]string{"SWEEPER_DATABASE_URL=postgres://u:hunter2@h/d", key, "SWEEPER_MAIL_FROM=hunter2"},
			0,
			[]string{`"level":"WARN","msg":"configuration","warning":"SWEEPER_MAIL_FROM: is not used by this version"`, `"msg":"ready"`},
		},
	} {
		got := try(t, tc.environ, []string{"needy"}, needy)
		if got.code != tc.code || got.stdout != "" || strings.Contains(got.stderr, "hunter2") {
			t.Errorf("%s: %+v", name, got)
		}
		for _, want := range tc.want {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, got.stderr)
			}
		}
	}
}

func TestNoColor(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]bool{"": false, "NO_COLOR=": false, "NO_COLOR=1": true, "TERM=dumb": true, "TERM=xterm": false} {
		if got := (&app{environ: []string{entry}}).noColor(); got != want {
			t.Errorf("%q: %v", entry, got)
		}
	}
}

// A reader that has gone is no failure; a full disk is one.
func TestStdoutThatFails(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer func() { _ = w.Close() }()
	var stderr bytes.Buffer
	a := &app{stdout: w, stderr: &stderr, now: time.Now, verbs: allVerbs}
	for _, args := range [][]string{{"version"}, {"version", "-o", "json"}, {"completion", "bash"}} {
		if code := a.run(t.Context(), args); code != 0 || stderr.Len() > 0 {
			t.Errorf("%q into a closed pipe: code %d, %s", args, code, stderr.String())
		}
	}
	a.stdout = full{}
	if code := a.run(t.Context(), []string{"version"}); code != 1 || stderr.String() != "sweeper: write to stdout: no space left\n" {
		t.Errorf("a full disk: code %d, %q", code, stderr.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	waits := func(*app) *cobra.Command {
		return &cobra.Command{Use: "wait", RunE: func(cmd *cobra.Command, _ []string) error {
			cancel()
			<-cmd.Context().Done()
			return cmd.Context().Err()
		}}
	}
	var stderr bytes.Buffer
	a := &app{stdout: &stderr, stderr: &stderr, now: time.Now, verbs: []func(*app) *cobra.Command{waits}}
	if code := a.run(ctx, []string{"wait"}); code != 1 || stderr.String() != "sweeper: interrupted\n" {
		t.Errorf("code %d, %q", code, stderr.String())
	}
}
