package policy

// Shortening is a window that may end earlier than it did, or that is new: rows
// go by it that would have stayed.
type Shortening struct {
	Key string // delete.after or redact.after
	Was string // a period, unlimited, or not given
	Now Period
}

// Shortened returns how the windows of a category have become shorter than they
// were, for some start at least: of twelve months and 365 days either can be the
// shorter one. Which columns are redacted is no matter of windows. nil: none has.
func Shortened(was, now *Category) []Shortening {
	var all []Shortening
	compare := func(key string, was, now *Period, none string) {
		switch {
		case now == nil:
		case was == nil:
			all = append(all, Shortening{key, none, *now})
		default:
			if _, shorter := exceeds(*was, *now); shorter {
				all = append(all, Shortening{key, was.String(), *now})
			}
		}
	}
	none := "not given"
	compare("redact.after", was.Redact.period(), now.Redact.period(), none)
	if was.Unlimited {
		none = "unlimited"
	}
	compare("delete.after", was.Delete, now.Delete, none)
	return all
}

// period is after what time it redacts; nil: never.
func (r *Redact) period() *Period {
	if r == nil {
		return nil
	}
	return &r.After
}
