package wal

import "time"

// now is the machine's clock. The deadlines of a socket are by no other: by one that
// is set ahead, a read would wait for that much longer.
func now() time.Time {
	return time.Now() //nolint:forbidigo // see above
}
