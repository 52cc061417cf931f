package purgelog

// BySegments has a check read segments of n entries, a power of two.
func (c Check) BySegments(n int64) Check {
	c.segment = n
	return c
}

// Singles has at most so many rows of a transaction get entries of their own.
func (l *Log) Singles(most int) { l.singles = most }
