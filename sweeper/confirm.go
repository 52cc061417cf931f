package sweeper

import "time"

// confirmer tells the server what is in the log, so much late that an
// asynchronous standby has it by then too: one that is promoted must not have
// the slot ahead of the log.
type confirmer struct {
	delay time.Duration
	ack   func(lsn uint64)
	marks []mark // not yet told, oldest first
}

// mark is an LSN up to which the log was complete at a time.
type mark struct {
	lsn       uint64
	begun, at time.Time // of the first and the last that it stands for
}

// marksInDelay bounds what is remembered, however long the delay is.
const marksInDelay = 1000

// applied notes that the log is complete and durable up to an LSN.
func (c *confirmer) applied(lsn uint64, now time.Time) {
	last := len(c.marks) - 1
	switch {
	case c.delay == 0:
		c.ack(lsn)
	case last >= 0 && now.Sub(c.marks[last].begun) < c.delay/marksInDelay:
		c.marks[last].lsn, c.marks[last].at = lsn, now // told a little later
	default:
		c.marks = append(c.marks, mark{lsn, now, now})
	}
}

// tell acknowledges what is old enough.
func (c *confirmer) tell(now time.Time) {
	old := 0
	for old < len(c.marks) && now.Sub(c.marks[old].at) >= c.delay {
		old++
	}
	if old > 0 {
		c.ack(c.marks[old-1].lsn)
		c.marks = c.marks[old:]
	}
}
