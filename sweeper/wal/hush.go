package wal

import (
	"strings"
	"time"
)

const (
	// fewPositions are as many as may come within linger before we ask not to hear of
	// each.
	fewPositions = 3
	// askEvery is how often we then ask for one.
	askEvery = 500 * time.Millisecond
	// ahead is by how many bytes what we say to have written is beyond what we received.
	ahead = 256 << 20
)

// hush is how a busy server is kept from telling its position at each commit of
// anybody: a send for it, and a read for us. It does so while it has sent more than
// we say to have written (WalSndWaitForWal in PostgreSQL's walsender.c), so we say
// more, and ask for the position twice a second instead. What is durable, flushed
// and applied, is never said ahead. By what is written goes nothing but a commit
// with synchronous_commit = remote_write, where synchronous_standby_names names us.
type hush struct {
	since time.Time // when the first of the positions came
	count int       // that came within linger since then
	next  time.Time // when we ask; zero: the server tells by itself
	asked uint64    // what we had received when we asked last
}

// on tells whether the server has been hushed.
func (h *hush) on() bool { return !h.next.IsZero() }

// named tells whether synchronous_standby_names may name an application.
func named(standbys, application string) bool {
	return strings.Contains(standbys, "*") || strings.Contains(strings.ToLower(standbys), strings.ToLower(application))
}

// position counts one, and hushes a server that tells many.
func (s *stream) position() error {
	if s.hush.on() || s.standby {
		return nil
	}
	at := now()
	if at.Sub(s.hush.since) > linger {
		s.hush.since, s.hush.count = at, 0
	}
	if s.hush.count++; s.hush.count < fewPositions || s.acked.Load() == 0 {
		return nil
	}
	s.hush = hush{next: at.Add(askEvery)}
	if err := s.net.SetReadDeadline(s.deadline()); err != nil {
		return s.wrap(err)
	}
	return s.status(false)
}

// ask asks when it is time. A server that has not moved since may tell again of
// itself, so that the first commit of a quiet time is heard of at once.
func (s *stream) ask() error {
	if !s.hush.on() || now().Before(s.hush.next) {
		return nil
	}
	received := uint64(s.received)
	if received <= s.hush.asked {
		s.hush = hush{}
		return s.status(false)
	}
	s.hush.next, s.hush.asked = now().Add(askEvery), received
	return s.status(true)
}
