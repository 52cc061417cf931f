package sweeper

import (
	"fmt"
	"time"
)

// motion tells whether the log follows the WAL.
type motion struct {
	samples []sample // of the WAL's end, those that the log has not reached yet
	unread  since    // nobody reads the slot

	applied uint64    // the log's progress at the last look
	moved   time.Time // when it was seen to move

	looked  bool
	entries int64 // in the log at the last look
	stamp   int64 // the newest then
	awaited int64 // a stamp that the log has not taken in yet; 0: none
	asked   time.Time
}

type sample struct {
	lsn uint64
	at  time.Time
}

// lost forgets what a look in between would have told.
func (m *motion) lost() {
	m.looked, m.awaited = false, 0
	m.unread = since{}
	m.samples = nil
}

// doubtful tells whether the next look should come soon.
func (m *motion) doubtful() bool { return m.awaited != 0 || !m.unread.at.IsZero() }

// judge takes a look in. done is where this process knows the log to be
// complete. A log that stands still while it lacks what was purged since the
// look before is not moving, unless its writer is busy with one transaction.
func (m *motion) judge(f serverFacts, l logFacts, done uint64, now time.Time) string {
	if *l.Applied != m.applied || m.moved.IsZero() {
		m.applied, m.moved = *l.Applied, now
	}
	passed := *l.Size-m.entries >= tailEntries // so many entries that the stamp's may be among those that were not looked at
	switch {
	case !m.looked, l.Logged, passed:
		m.awaited = 0
	case l.Stamp != m.stamp && m.awaited == 0:
		m.awaited, m.asked = l.Stamp, now
	}
	m.looked, m.entries, m.stamp = true, *l.Size, l.Stamp
	m.keep(f.Insert, done, now)
	still := now.Sub(m.moved)
	switch {
	case f.Writing:
	case m.awaited != 0 && now.Sub(m.asked) >= passing && still >= passing:
		return fmt.Sprintf("the purge log is not moving: what was purged %s ago is not in it", now.Sub(m.asked).Round(time.Second))
	case len(m.samples) > 0 && now.Sub(m.samples[0].at) > silence && still > silence:
		return fmt.Sprintf("the purge log is not moving: it lacks what the write-ahead log holds since %s", now.Sub(m.samples[0].at).Round(time.Second))
	}
	return ""
}

// keep remembers where the WAL ended and forgets what the log has reached.
func (m *motion) keep(insert, done uint64, now time.Time) {
	reached := 0
	for reached < len(m.samples) && m.samples[reached].lsn <= done {
		reached++
	}
	m.samples = m.samples[reached:]
	if insert > done && (len(m.samples) == 0 || m.samples[len(m.samples)-1].lsn < insert) && len(m.samples) < mostSamples {
		m.samples = append(m.samples, sample{insert, now})
	}
}

// lag is how far the log is behind the WAL.
func (m *motion) lag(insert, done uint64, now time.Time) (int64, float64) {
	if insert <= done || len(m.samples) == 0 {
		return 0, 0
	}
	return int64(insert - done), now.Sub(m.samples[0].at).Seconds()
}
