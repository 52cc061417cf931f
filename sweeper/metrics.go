package sweeper

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/pgsweeper/sweeper/sweeper/plan"
	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// metrics are what a daemon counts itself, and through a collector what its
// monitor saw last. Labels name policies, tables and states, never a subject
// or a tenant.
type metrics struct {
	registry   *prometheus.Registry
	rows       *prometheus.CounterVec
	partitions *prometheus.CounterVec
	runs       *prometheus.CounterVec
	runTime    *prometheus.HistogramVec
	batches    *prometheus.CounterVec
	batchTime  *prometheus.HistogramVec
	waited     *prometheus.CounterVec
	waiting    *prometheus.GaugeVec
}

func newMetrics(health *Health) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"policy"})
	}
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		rows:       counter("sweeper_rows_total", "Rows purged by this process.", "policy", "action", "table"),
		partitions: counter("sweeper_partitions_dropped_total", "Partitions dropped or detached by this process.", "policy"),
		runs:       counter("sweeper_runs_total", "Runs of this process that ended, by their state.", "policy", "result"),
		runTime:    histogram("sweeper_run_duration_seconds", "Duration of the runs of this process.", prometheus.ExponentialBuckets(0.1, 4, 9)),
		batches:    counter("sweeper_batches_total", "Batches committed by this process.", "policy", "action", "table"),
		batchTime:  histogram("sweeper_batch_duration_seconds", "Duration of the committed batches of this process.", prometheus.ExponentialBuckets(0.01, 2, 11)),
		waited:     counter("sweeper_waited_seconds_total", "How long runs of this process waited between batches, by the cause; pauses that have ended.", "policy", "cause"),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sweeper_waiting", Help: "Whether a run of this process waits between two batches, by the cause.",
		}, []string{"policy", "cause"}),
	}
	m.registry.MustRegister(m.waited, m.waiting, m.rows, m.partitions, m.runs, m.runTime, m.batches, m.batchTime,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(), &healthCollector{health: health})
	return m
}

// ran counts a run that has ended.
func (m *metrics) ran(o purge.Outcome, took time.Duration) {
	m.runs.WithLabelValues(o.Category, o.State).Inc()
	m.runTime.WithLabelValues(o.Category).Observe(took.Seconds())
}

// pauses notes a pause that begins.
func (m *metrics) pauses(category, cause string) { m.waiting.WithLabelValues(category, cause).Set(1) }

// pausedFor counts a pause that has ended.
func (m *metrics) pausedFor(category, cause string, took time.Duration) {
	m.waiting.WithLabelValues(category, cause).Set(0)
	m.waited.WithLabelValues(category, cause).Add(took.Seconds())
}

// batched counts a commit.
func (m *metrics) batched(b purge.Batch) {
	action := "deleted"
	switch b.Kind {
	case plan.Redact:
		action = "redacted"
	case plan.DetachPartition:
		action = "detached"
		m.partitions.WithLabelValues(b.Category).Inc()
	case plan.DropPartition:
		m.partitions.WithLabelValues(b.Category).Inc()
	}
	m.rows.WithLabelValues(b.Category, action, b.Table).Add(float64(max(0, b.Rows)))
	m.batches.WithLabelValues(b.Category, b.Kind, b.Table).Inc()
	m.batchTime.WithLabelValues(b.Category).Observe(b.Took.Seconds())
}

func buildInfo() prometheus.Collector {
	version, commit := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sweeper_build_info", Help: "Always 1; the labels tell which build runs.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}

// healthCollector shows the monitor's last report.
type healthCollector struct{ health *Health }

// Describe sends nothing: which metrics there are depends on the report.
func (c *healthCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the report as gauges; what is unknown is left out.
func (c *healthCollector) Collect(out chan<- prometheus.Metric) {
	r := c.health.Report()
	gauge := func(name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.GaugeValue, value, values...)
	}
	purging, _ := r.Purging()
	gauge("sweeper_purging_allowed", "1 while evidence is healthy, 0 while purging is paused.", flag(purging))
	for _, check := range r.Checks {
		gauge("sweeper_health", "1 while the check passes, 0 while it fails or cannot be made.", flag(check.OK), "check", check.Name)
		if check.Name == checkChain {
			gauge("sweeper_purge_log_verify_success", "1 if the last entries of the purge log, its chain and its head agreed at the last look.", flag(check.OK))
		}
	}
	gauge("sweeper_policy_reload_success", "0 while the policies on disk cannot be used and older ones are in force.", flag(!r.Facts.PolicyPending))
	if !r.Facts.PolicyReload.IsZero() {
		gauge("sweeper_policy_reload_timestamp_seconds", "When the policies on disk were last found good.", unix(r.Facts.PolicyReload))
	}
	if !r.Facts.ServerTime.IsZero() {
		gauge("sweeper_purge_log_verify_timestamp_seconds", "When the monitor looked last.", unix(r.At))
		gauge("sweeper_wal_lag_bytes", "WAL that is not in the purge log yet.", float64(r.Facts.LagBytes), "slot", r.Facts.Slot)
		gauge("sweeper_wal_lag_seconds", "Age of the oldest WAL that is not in the purge log yet, as the monitor saw it.", r.Facts.LagSeconds, "slot", r.Facts.Slot)
		gauge("sweeper_slot_retained_wal_bytes", "WAL that the slot holds back.", float64(r.Facts.SlotRetained), "slot", r.Facts.Slot)
		gauge("sweeper_purge_log_sequence", "Number of entries in the purge log.", float64(r.Facts.Entries))
		gauge("sweeper_log_mismatches", "Entries of the purge log that say that a run did something else than it reported.", float64(r.Facts.Mismatches))
		gauge("sweeper_log_gaps", "Entries of the purge log that say that it could not be read what was committed for a time.", float64(r.Facts.Gaps))
		if r.Facts.Anchors {
			gauge("sweeper_checkpoint_unanchored_seconds", "For how long entries of the purge log have not been in every anchor; 0 if all are.", r.Facts.Unanchored.Seconds())
		}
		gauge("sweeper_leader", "1 while this process reads the slot.", flag(r.Facts.Leader))
	}
	for _, one := range r.Categories {
		c.category(one, gauge)
	}
}

func (c *healthCollector) category(one CategoryFacts, gauge func(name, help string, value float64, labels ...string)) {
	label := []string{"policy", one.Category}
	gauge("sweeper_policy_info", "Always 1; the labels tell what the policy governs.", 1, append(label, "table", one.Table, "mode", one.Mode)...)
	gauge("sweeper_oldest_overdue_seconds", "How long the oldest row that the last run left due had been so, counted up to now; 0 if none.", one.OverdueSeconds, label...)
	for _, n := range []struct {
		name, help string
		rows       *int64
	}{
		{"sweeper_overdue_rows", "Rows that the last run left due.", one.Due},
		{"sweeper_held_rows", "Rows that the last run found due and on hold.", one.Held},
		{"sweeper_blocked_rows", "Rows that the last run found due and kept by something named in the run.", one.Blocked},
	} {
		if n.rows != nil {
			gauge(n.name, n.help, float64(*n.rows), label...)
		}
	}
	if one.LastSuccess != nil {
		gauge("sweeper_last_success_timestamp_seconds", "End of the last run that left nothing due.", unix(*one.LastSuccess), label...)
	}
	if one.NextSweep != nil {
		gauge("sweeper_next_due_timestamp_seconds", "When the next run by schedule is due.", unix(*one.NextSweep), label...)
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
