package proof

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// columnNames are those of sweeper.purge_log, in their order.
var columnNames = []string{
	"seq", "logged_at", "committed_at", "commit_lsn", "xid", "source", "kind", "reason", "category", "relation", "partition", "tenant",
	"subject_digest", "cutoff", "basis", "actor", "reference", "request_id", "run_id", "policy_sha256", "row_count", "columns",
	"objects_removed", "rows_root", "leaf_hash", "chain_hash",
}

// columnTexts are the entry's columns as people read them: nil for NULL, a
// number, a string, or the texts of an array. Times are RFC 3339 in UTC, bytes
// are hex.
func (e *Entry) columnTexts() []any {
	return []any{
		e.Seq, timeText(&e.LoggedAt), timeText(e.CommittedAt), fmt.Sprintf("%X/%X", e.CommitLSN>>32, uint32(e.CommitLSN)), number(e.XID),
		e.Source, e.Kind, textOrNull(e.Reason), textOrNull(e.Category), textOrNull(e.Relation), textOrNull(e.Partition), textOrNull(e.Tenant),
		hexOrNull(e.SubjectDigest), timeText(e.Cutoff), textOrNull(e.Basis), textOrNull(e.Actor), textOrNull(e.Reference),
		uuidOrNull(e.RequestID), uuidOrNull(e.RunID), hexOrNull(e.PolicySHA256), number(e.RowCount), texts(e.Columns),
		number(e.ObjectsRemoved), hexOrNull(e.RowsRoot), hexOrNull(e.LeafHash), hexOrNull(e.ChainHash),
	}
}

func timeText(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

func number(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

func textOrNull(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func hexOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return hex.EncodeToString(b)
}

func uuidOrNull(id *[16]byte) any {
	if id == nil {
		return nil
	}
	h := hex.EncodeToString(id[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func texts(list []string) any {
	if list == nil {
		return nil
	}
	return list
}

// appendCSV appends the entry as a line of CSV, NULL as nothing. A text that a
// spreadsheet would take for a formula gets an apostrophe before it.
func appendCSV(dst []byte, record []any) ([]byte, error) {
	line := make([]string, len(record))
	for i, v := range record {
		switch v := v.(type) {
		case int64:
			line[i] = strconv.FormatInt(v, 10)
		case string:
			line[i] = v
			if v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
				line[i] = "'" + v
			}
		case []string:
			b, err := marshal(v)
			if err != nil {
				return dst, err
			}
			line[i] = string(b)
		}
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if err := w.Write(line); err != nil {
		return dst, err
	}
	w.Flush()
	return append(dst, out.Bytes()...), w.Error()
}

// appendJSON appends the entry as an object on a line of its own, its fields in
// the order of the columns.
func appendJSON(dst []byte, record []any) ([]byte, error) {
	dst = append(dst, '{')
	for i, v := range record {
		b, err := marshal(v)
		if err != nil {
			return dst, err
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(strconv.AppendQuote(dst, columnNames[i]), ':'), b...)
	}
	return append(dst, '}'), nil
}

// marshal leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write an entry as JSON: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
