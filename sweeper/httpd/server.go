package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	requestTimeout = 5 * time.Second
	largestHeader  = 8 << 10
	goodbye        = time.Second // for the answers in flight when the server ends
)

// SourceHeader is the header of an answer of /readyz that tells which server
// and slot the daemon looks after.
const SourceHeader = "Sweeper-Source"

// Options say what is shown.
type Options struct {
	State   func() State // what was seen last; called for each request, from several goroutines
	Metrics prometheus.Gatherer
	Log     *slog.Logger
}

// Handler answers /livez, /readyz, /metrics and /.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) { readyz(w, r, o.State()) })
	mux.Handle("/metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: requestTimeout}))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { status(w, o) })
	return readOnly(mux)
}

// Serve answers on listener until ctx ends.
func Serve(ctx context.Context, listener net.Listener, o Options) error {
	server := &http.Server{
		Handler:           Handler(o),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      2 * requestTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    largestHeader,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // what strangers send is no concern of the operator's
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if server.Shutdown(bye) != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", listener.Addr(), err)
	}
	return nil
}

// readOnly refuses whatever could change something, before anything looks at
// it, and keeps browsers from doing more with an answer than show it.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			text(w, http.StatusMethodNotAllowed, "only GET and HEAD\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readyz says in one word how things are, and in a line a check when asked for
// more or when not all is well.
func readyz(w http.ResponseWriter, r *http.Request, s State) {
	w.Header().Set(SourceHeader, s.Source)
	code := http.StatusOK
	if !s.Ready {
		code = http.StatusServiceUnavailable
	}
	if s.Ready && !r.URL.Query().Has("verbose") {
		text(w, code, "ok\n")
		return
	}
	var b bytes.Buffer
	s.write(&b)
	text(w, code, b.String())
}

func status(w http.ResponseWriter, o Options) {
	var b bytes.Buffer
	if err := page.Execute(&b, o.State()); err != nil {
		o.Log.Error("the status page cannot be made", "err", err)
		text(w, http.StatusInternalServerError, "the status page cannot be made\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func text(w http.ResponseWriter, code int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, s)
}
