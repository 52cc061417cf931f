package modeltest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// unredacted tells whether a redaction would change a row.
func (j *judge) unredacted(table string, columns []strategy, r *record) bool {
	for _, s := range columns {
		old, there := r.v[s.column]
		if now, still := j.redacted(table, s, old, there); still != there || !sameValue(s, now, old) {
			return true
		}
	}
	return false
}

// redacted is what a strategy makes of a value; false: NULL, which stays NULL
// under all but those that set.
func (j *judge) redacted(table string, s strategy, old string, there bool) (string, bool) {
	switch {
	case s.kind == "set" || s.kind == "put":
		return s.arg, true
	case !there || s.kind == "null":
		return "", false
	}
	switch s.kind {
	case "zero":
		return zeroOf[j.state.tables[table].types[s.column]], true
	case "hmac":
		return j.token(table, s, old), true
	case "mask":
		keep := int(s.arg[0] - '0')
		runes := []rune(old)
		for i := range max(0, len(runes)-keep) {
			runes[i] = '*'
		}
		return string(runes), true
	case "truncate":
		return j.cut(j.state.tables[table].types[s.column], s.arg, old), true
	case "json":
		var doc any
		if err := json.Unmarshal([]byte(old), &doc); err != nil {
			panic("no document in the witness's output")
		}
		text, _ := json.Marshal(withoutPassport(doc))
		return string(text), true
	}
	return old, true
}

var zeroOf = map[string]string{"text": "", "integer": "0", "inet": "0.0.0.0", "text[]": "{}", "boolean": "false"}

// sameValue compares values; documents by what they say.
func sameValue(s strategy, a, b string) bool {
	if s.kind != "json" || a == "" || b == "" {
		return a == b
	}
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// withoutPassport does what the policies' one set of JSON paths says.
func withoutPassport(doc any) any {
	object, ok := doc.(map[string]any)
	if !ok {
		return doc
	}
	delete(object, "passport")
	if _, there := object["notes"]; there {
		object["notes"] = nil
	}
	if list, ok := object["list"].([]any); ok {
		for _, e := range list {
			if o, ok := e.(map[string]any); ok {
				delete(o, "x")
			}
		}
	}
	return object
}

// cut cuts a date or a time to its unit, on the wall clock of the zone.
func (j *judge) cut(typ, unit, old string) string {
	cut := func(t time.Time) time.Time {
		switch unit {
		case "year":
			return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		case "month":
			return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
		case "hour":
			return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), 0, 0, 0, time.UTC)
		}
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	}
	if typ == "date" {
		return cut(parseTime("2006-01-02", old)).Format("2006-01-02")
	}
	return instantOf(cut(wallOf(instant(old), j.set.zone)), j.set.zone).Format("2006-01-02 15:04:05.999999-07")
}

// token is 24 hex digits keyed by the old value and 8 that prove them. One that
// is a token already stays.
func (j *judge) token(table string, s strategy, old string) string {
	mac := func(key []byte, parts ...string) []byte {
		m := hmac.New(sha256.New, key)
		for _, p := range parts {
			m.Write([]byte(p))
		}
		return m.Sum(nil)
	}
	lp := func(text string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + text }
	key := mac(j.secret, "sweeper/redaction/v1", lp("app."+table), lp(s.column))
	proof := func(body string) string { return hex.EncodeToString(mac(key, "check", body))[:8] }
	before, after, _ := strings.Cut(s.arg, "%s")
	if body, ok := strings.CutPrefix(old, before); ok {
		if body, ok = strings.CutSuffix(body, after); ok && len(body) == 32 && proof(body[:24]) == body[24:] {
			return old
		}
	}
	body := hex.EncodeToString(mac(key, "value", old))[:24]
	return before + body + proof(body) + after
}
