package httpd_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgsweeper/sweeper/sweeper/httpd"
)

func options(s httpd.State) httpd.Options {
	registry := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sweeper_test"})
	registry.MustRegister(up)
	return httpd.Options{State: func() httpd.State { return s }, Metrics: registry, Log: slog.New(slog.DiscardHandler)}
}

var (
	well = httpd.State{At: time.Unix(0, 0), Ready: true, Source: "7/sweeper", Checks: []httpd.Check{{Name: "database", OK: true}, {Name: "policies", Why: "line 3"}}}
	ill  = httpd.State{
		At:         time.Unix(0, 0),
		Checks:     []httpd.Check{{Name: "database", OK: true}, {Name: "slot", Why: "does not <b>exist</b>"}},
		Facts:      []httpd.Fact{{Name: "entries", Text: "17"}},
		Categories: []httpd.Category{{Name: "events", Table: "app.<script>", Reason: "1 due rows remain"}},
	}
)

func TestHandler(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state        httpd.State
		method, path string
		code         int
		want         string
	}{
		"alive":             {ill, "GET", "/livez", 200, "ok\n"},
		"ready":             {well, "GET", "/readyz", 200, "ok\n"},
		"ready, in full":    {well, "GET", "/readyz?verbose", 200, "[+]database ok\n[-]policies failed: line 3\nreadyz check passed\n"},
		"not ready":         {ill, "GET", "/readyz", 503, "[+]database ok\n[-]slot failed: does not <b>exist</b>\nreadyz check failed: purging is paused\n"},
		"nothing seen":      {httpd.State{}, "GET", "/readyz", 503, "readyz check failed: purging is paused\n"},
		"metrics":           {ill, "GET", "/metrics", 200, "sweeper_test 0\n"},
		"page":              {ill, "GET", "/", 200, "does not &lt;b&gt;exist&lt;/b&gt;"},
		"page, category":    {ill, "GET", "/", 200, "app.&lt;script&gt;"},
		"page without any":  {httpd.State{}, "GET", "/", 200, "Nothing was seen yet."},
		"elsewhere":         {well, "GET", "/debug/pprof/", 404, ""},
		"head":              {well, "HEAD", "/livez", 200, ""},
		"post":              {well, "POST", "/readyz", 405, "only GET and HEAD\n"},
		"delete":            {well, "DELETE", "/", 405, "only GET and HEAD\n"},
		"unknown method":    {well, "PURGE", "/elsewhere", 405, "only GET and HEAD\n"},
		"verbose and ready": {well, "GET", "/readyz?verbose=1", 200, "readyz check passed\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			httpd.Handler(options(c.state)).ServeHTTP(w, httptest.NewRequest(c.method, c.path, http.NoBody))
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body, c.code, c.want)
			}
			if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options: %q", got)
			}
		})
	}
}

// TestServe ends with its context, and refuses headers that never end.
func TestServe(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- httpd.Serve(ctx, listener, options(well)) }()
	url := "http://" + listener.Addr().String()
	answer, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || string(body) != "ok\n" || answer.Header.Get(httpd.SourceHeader) != "7/sweeper" {
		t.Errorf("got %q %v %v", body, answer.Header, err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/livez", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	if answer, err = http.DefaultClient.Do(request); err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("64 KiB of headers: %s", answer.Status)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
}
