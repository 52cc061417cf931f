package wal

import "time"

// Memory is everything that a change holds on to, used or not.
func (c *Change) Memory() []byte { return c.data[:cap(c.data)] }

// Within replaces the time that a slot's creation may take.
func Within(d time.Duration) SlotOption { return func(o *slotOptions) { o.timeout = d } }
