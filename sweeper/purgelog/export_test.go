package purgelog

// BySegments has a check read segments of n entries, a power of two.
func (c Check) BySegments(n int64) Check {
	c.segment = n
	return c
}
