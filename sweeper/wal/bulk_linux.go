package wal

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bulkBytes is how many bytes a bulk read waits for; of a small buffer the kernel
	// makes it half of that.
	bulkBytes = 32 << 10
	// nearBy is the round trip in microseconds below which a server is on this
	// machine, or might as well be. One through a bridge takes about 20.
	nearBy = 100
	// nearBuffer is what the kernel holds of a near server's bytes, of which it takes
	// twice as much for itself.
	nearBuffer = 16 << 10
	// nap is how long a bulk read of a near server sleeps before it looks for more.
	// Within two thirds of it a server whose sends go out one by one fills the buffer.
	nap = 12 * time.Millisecond
	// napBytes is how many bytes come between two naps at most before they become
	// shorter: of rows that are wide the kernels hold no more.
	napBytes = 512 << 10
)

// layer is a connection over another, such as TLS.
type layer interface{ NetConn() net.Conn }

// setBulk makes reads wait for many bytes, or for any again. The server sends each
// row on its own, and a reader that wakes for each of them makes the server pay for
// it. The read deadline bounds the wait: a read after it takes what is there.
func (s *stream) setBulk(on bool) {
	conn := s.net
	for over, ok := conn.(layer); ok; over, ok = conn.(layer) {
		conn = over.NetConn()
	}
	tcp, ok := conn.(*tcpConn)
	if !ok || s.bulk == on || tcp.setBulk(on) != nil {
		return
	}
	s.bulk = on
	if on {
		// The deadline in force may be seconds away. If the connection is gone
		// the next read says so.
		_ = s.net.SetReadDeadline(now().Add(linger))
	}
}

// tcpConn is a connection whose reads can wait for many bytes.
//
// To a server on the same machine a send is also the way through the receiver's
// half of the kernel: 5 us, four times what the server takes to decode a row. It
// is spared where the receiver's buffer is full: then the bytes wait on the
// server's side, where a send only adds to them, and all go over at once when
// there is room. So the buffer is small, and reads nap until it has been full for
// a while. Of a server that is far a small buffer would hold up the sends, and the
// low-water mark (SO_RCVLOWAT) alone keeps the reader asleep.
type tcpConn struct {
	*net.TCPConn
	raw   syscall.RawConn
	limit uint32 // us of the round trip to a near server
	near  bool
	naps  bool // reads nap
	since int  // bytes that came since the last nap
	fresh int  // and since nothing was there
}

func newConn(c *net.TCPConn) (*tcpConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &tcpConn{TCPConn: c, raw: raw, limit: nearBy}
	return t, t.look()
}

// look tells whether the server is near. A busy machine takes its time for a
// single round trip: the shortest of many shows it.
func (c *tcpConn) look() error {
	return c.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.Min_rtt == 0 || info.Min_rtt >= c.limit { // 0: the kernel does not say
			return
		}
		segment, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		c.near = err == nil && segment <= largestSegment && unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, nearBuffer) == nil
	})
}

func (c *tcpConn) setBulk(on bool) error {
	least := 1
	if on {
		least = bulkBytes
		if !c.near {
			if err := c.look(); err != nil {
				return err
			}
		}
	}
	if err := set(c.raw, unix.SOL_SOCKET, unix.SO_RCVLOWAT, least); err != nil {
		return err
	}
	c.naps = c.near && on
	return nil
}

// Read naps when nothing is there. What the server has kept comes while its reader
// empties the buffer, if it is so near that this is one and the same; where the
// kernels, or a proxy, take a moment for it there is about a buffer at a time, and
// a nap after each would hold it up.
func (c *tcpConn) Read(p []byte) (n int, err error) {
	if c.naps {
		if n, err = c.take(p); n > 0 || err != nil {
			return n, err
		}
		if c.fresh >= nearBuffer/2 && c.fresh <= 3*nearBuffer {
			c.fresh = 0
			time.Sleep(nearBy * time.Microsecond)
			if n, err = c.take(p); n > 0 || err != nil {
				return n, err
			}
		}
		time.Sleep(nap * napBytes / time.Duration(max(napBytes, c.since)))
		c.since, c.fresh = 0, 0
	}
	n, err = c.TCPConn.Read(p)
	c.since, c.fresh = c.since+n, c.fresh+n
	return n, err
}

// take reads what is there already.
func (c *tcpConn) take(p []byte) (n int, err error) {
	var failed error
	err = c.raw.Read(func(fd uintptr) bool {
		n, failed = syscall.Read(int(fd), p)
		return true
	})
	if err == nil && failed == nil && n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	n = max(n, 0)
	c.since, c.fresh = c.since+n, c.fresh+n
	if err == nil && failed != nil && !errors.Is(failed, syscall.EAGAIN) && !errors.Is(failed, syscall.EINTR) {
		err = &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", failed)}
	}
	return n, err
}
