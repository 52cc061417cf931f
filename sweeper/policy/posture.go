package policy

// Posture returns the tier of a window, as the SQL function sweeper.posture does:
// compared as intervals, in which a month has 30 days. nil is Unlimited.
func Posture(p *Period) string {
	const month = 30 // days
	if p == nil {
		return "Unlimited"
	}
	switch days := month*p.months() + p.rest(); {
	case days < 3*month:
		return "Below floor"
	case days < 6*month:
		return "Reduced"
	case days < 12*month:
		return "Aligned with the standard's principles"
	case days <= 84*month:
		return "Follows GDPR Art. 5(1)(e)"
	}
	return "Above ceiling"
}
