package purge_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/purge"
)

// TestObserveSaysWhatARunWouldDo has a category that only observes, with limits: it
// says what they would have come to, and nothing goes.
func TestObserveSaysWhatARunWouldDo(t *testing.T) {
	t.Parallel()
	const share = "; it would wait for approval first: 6000 of 6000 rows would go, more than max_share 0.2 allows"
	for limits, tt := range map[string]struct {
		auto bool
		want string
	}{
		"max_share: 0":                          {false, "mode is observe: 6000 rows would go"},
		"max_share: 0.2":                        {false, "mode is observe: 6000 rows would go" + share},
		"max_share: 0.2, max_rows_per_run: 10":  {false, "mode is observe: 6000 rows would go, 10 of them by this run (limits.max_rows_per_run)" + share},
		"max_share: 0.2, max_rows_per_run: 100": {true, "mode is observe: 6000 rows would go, 100 of them by this run (limits.max_rows_per_run)"},
	} {
		t.Run(limits, func(t *testing.T) {
			t.Parallel()
			b := setup(t, paced, one("UTC", "    delete: {after: P5Y}\n    mode: observe\n    limits: {"+limits+"}\n"))
			o := b.run(t, in2026, func(o *purge.Options) { o.AutoApprove = tt.auto })["events"]
			if o.State != purge.Observed || o.StopReason != tt.want || o.Deleted != 0 {
				t.Errorf("got %+v, want %s", o, tt.want)
			}
			if got := b.text(t, `select count(*) from app.events`); got != "6000" {
				t.Errorf("%s rows are left", got)
			}
		})
	}
}
