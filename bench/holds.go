package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var holdsGroup = group{
	lines:   []string{"holds-1000", "holds-1000000"},
	measure: holds,
}

// holds measures the sweep's rate beside many active holds, of subjects without
// rows, so that the same rows go.
func holds(ctx context.Context, b *bench) error {
	if err := b.template(ctx, "timeorder", fmt.Sprintf(rowsDDL, b.rows, "i")); err != nil {
		return err
	}
	times := map[int][]float64{}
	for range b.runs {
		for _, n := range []int{0, 1000, 1_000_000} {
			s, err := b.site(ctx, "timeorder", rowsPolicies)
			if err != nil {
				return err
			}
			if err := s.hold(ctx, n); err != nil {
				return err
			}
			if err := s.warm(ctx); err != nil {
				return err
			}
			t, err := s.swept(ctx, "rows", int64(b.rows/2))
			if err != nil {
				return err
			}
			times[n] = append(times[n], t.deleted)
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
	}
	none := middle(times[0])
	against := fmt.Sprintf("the same sweep without holds, %.2f s", none)
	b.add("holds-1000", none/middle(times[1000]), "x its rate", against, figure)
	b.add("holds-1000000", none/middle(times[1_000_000]), "x its rate", against, atLeast(0.6))
	return nil
}

// hold places n holds as apply_hold does, but all at once, which by the way of
// triggers and log entries would take minutes.
func (s *site) hold(ctx context.Context, n int) error {
	if _, err := s.sweeper(ctx, "sweep", "--category", "quiet"); err != nil { // the subject's type is known from now on
		return err
	}
	for _, sql := range []string{
		`alter table sweeper.legal_holds disable trigger user; alter table sweeper.hold_keys disable trigger user`,
		fmt.Sprintf(`insert into sweeper.legal_holds (subject, reason, applied_by) select 'held' || i, 'case', 'bench' from generate_series(1, %d) i`, n),
		`insert into sweeper.hold_keys (hold_id, part, type, value) select h.hold_id, t.part, t.type, h.subject from sweeper.legal_holds h cross join sweeper.hold_types t where t.part = 'subject'`,
		`alter table sweeper.legal_holds enable always trigger fence, enable always trigger fence_truncate, enable always trigger keep, enable always trigger note`,
		`alter table sweeper.hold_keys enable always trigger fence, enable always trigger fence_truncate, enable always trigger keep, enable always trigger version`,
		`vacuum (analyze) sweeper.legal_holds, sweeper.hold_keys`,
	} {
		for _, one := range strings.Split(sql, "; ") {
			if _, err := s.exec(ctx, one); err != nil {
				return err
			}
		}
	}
	if keys, err := s.number(ctx, `select count(*) from sweeper.hold_keys`); err != nil || keys != float64(n) {
		return errors.Join(err, fmt.Errorf("%d holds have %.0f keys", n, keys))
	}
	return nil
}
