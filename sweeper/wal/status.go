package wal

import (
	"encoding/binary"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgproto3"
)

// patience bounds each step of saying goodbye, and each write.
const patience = 2 * time.Second

// unread is for how long nothing is read before that, so that the room for it fills.
const unread = 250 * time.Millisecond

// status tells the server what was received and what is durable. Flushed and
// applied come from Ack alone. ask makes the server answer at once.
func (s *stream) status(ask bool) error {
	at := now()
	acked := s.acked.Load()
	written := max(uint64(s.received), acked)
	if s.hush.on() {
		written += ahead
	}
	b := make([]byte, 0, 34)
	b = append(b, pglogrepl.StandbyStatusUpdateByteID)
	b = binary.BigEndian.AppendUint64(b, written)
	b = binary.BigEndian.AppendUint64(b, acked)
	b = binary.BigEndian.AppendUint64(b, acked)
	b = binary.BigEndian.AppendUint64(b, uint64(at.Sub(epoch).Microseconds()))
	if ask {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	s.alive = false
	s.told = acked
	s.nextStatus = at.Add(s.every)
	return s.send(&pgproto3.CopyData{Data: b})
}

// send writes one message. A write that ran into its deadline may have sent
// half of it, so that every error ends the connection.
func (s *stream) send(m pgproto3.FrontendMessage) error {
	if err := s.net.SetWriteDeadline(now().Add(patience)); err != nil {
		return s.wrap(err)
	}
	s.front.Send(m)
	return s.wrap(s.front.Flush())
}

// goodbye sends the last status and ends the copy, so that the server keeps
// the position and frees the slot. What the server still sends, the rest of a
// transaction, is read and dropped: a connection that is closed with unread
// data in it is reset, and the status goes with it.
func (s *stream) goodbye() {
	if s.status(false) != nil || s.send(&pgproto3.CopyDone{}) != nil {
		return
	}
	if s.asm.open != nil {
		// A server in the midst of a transaction looks at what it is told when there
		// is no room for what it sends.
		time.Sleep(unread)
	}
	for end := now().Add(patience); now().Before(end); {
		if s.net.SetReadDeadline(now().Add(linger)) != nil {
			return
		}
		for {
			msg, err := s.front.Receive()
			if isTimeout(err) {
				break // a bulk read gives what there is only then
			}
			if err != nil {
				return
			}
			switch msg.(type) {
			case *pgproto3.ReadyForQuery, *pgproto3.ErrorResponse:
				return
			}
		}
	}
}

// hangUp ends the session. Nothing that fails here matters any more: what was
// not acknowledged comes again.
func (s *stream) hangUp() {
	_ = s.send(&pgproto3.Terminate{})
	_ = s.net.Close()
}
