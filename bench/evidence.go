package main

import (
	"context"
	"fmt"
	"strings"
)

var evidenceGroup = group{
	lines:   []string{"bytes-per-row-evidence", "to-log-row-evidence"},
	measure: rowEvidence,
}

// rowEvidence has the same rows go with an entry for each of them, and with one
// for each transaction.
func rowEvidence(ctx context.Context, b *bench) error {
	const template = "evidence"
	if err := b.template(ctx, template, fmt.Sprintf(rowsDDL, b.rows/10, "i")); err != nil {
		return err
	}
	due := int64(b.rows / 20)
	bytes, logged := map[string][]float64{}, map[string][]float64{}
	for range b.runs {
		for _, evidence := range []string{"batch", "row"} {
			s, err := b.site(ctx, template, strings.ReplaceAll(rowsPolicies, "start_from:", "evidence: "+evidence+", start_from:"))
			if err != nil {
				return err
			}
			t, err := s.swept(ctx, "rows", due)
			if err != nil {
				return err
			}
			size, err := s.number(ctx, logBytesSQL)
			if err != nil {
				return err
			}
			bytes[evidence] = append(bytes[evidence], size/float64(due))
			logged[evidence] = append(logged[evidence], t.logged)
			if err := s.drop(ctx); err != nil {
				return err
			}
		}
	}
	rate := func(evidence string) float64 { return float64(due) / middle(logged[evidence]) }
	b.add("bytes-per-row-evidence", middle(bytes["row"]), "bytes of purge_log and purge_rows, indexes included", fmt.Sprintf("a purged row; with evidence: batch %.0f", middle(bytes["batch"])), figure)
	b.add("to-log-row-evidence", middle(logged["row"])/middle(logged["batch"]), "x its time", fmt.Sprintf("the same %d rows to the last entry with evidence: batch, %.0f rows/s; with evidence: row %.0f rows/s", due, rate("batch"), rate("row")), figure)
	return nil
}
