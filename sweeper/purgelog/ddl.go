package purgelog

import "github.com/pgsweeper/sweeper/sweeper/proof"

// ddl takes in what the event triggers noted of somebody's statement: a
// governed table or partition was dropped or detached, or a publication was
// changed. What we did ourselves, the stamp tells already.
func (a *appending) ddl(s *stamp) {
	switch {
	case !s.installed():
		a.disbelieve("a note of a statement that no installed function wrote")
	case s.whole():
		if a.stamp != nil && a.stamp.kind == s.kind && value(a.stamp.partition) == value(s.partition) && s.partition != nil {
			return
		}
		e := a.note(s)
		e.Reason = text("out_of_policy")
		a.after = append(a.after, e)
	case s.kind == "coverage":
		a.told(s)
		a.after = append(a.after, a.note(s))
	default:
		a.disbelieve("a note of a statement of an unknown kind")
	}
}

func (a *appending) note(s *stamp) proof.Entry {
	leaf := value(s.partition)
	if leaf == "" {
		leaf = value(s.relation)
	}
	e := a.unattributed(s.kind, relation{root: value(s.relation), leaf: leaf})
	s.attribute(&e)
	return e
}
