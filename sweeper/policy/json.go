package policy

import "encoding/json"

// object keeps the keys of an encoded category short to write.
type object = map[string]any

// MarshalJSON returns the effective values of every key of the policy language,
// defaults filled in and null where there is none, with what follows from them
// beside: name, file and line of the category, its posture, and what its basis
// asks for. partitions is null where the catalogue decides.
func (c Category) MarshalJSON() ([]byte, error) {
	o := object{
		"category": c.Name, "file": c.At.File, "line": c.At.Line, "timezone": c.Timezone,
		"description": orNull(c.Description), "notes": orNull(c.Notes), "basis": orNull(c.Basis), "override": nil,
		"table": c.Table, "subject": orNull(c.Subject), "tenant": orNull(c.Tenant),
		"where": c.conditions(), "where_sql": orNull(c.WhereSQL), "start_from": nil,
		"restrict": nil, "redact": nil, "delete": nil, "children": effectiveChildren(c.Children),
		"window": object{"min": c.Window.Min, "max": c.Window.Max, "allowed_days": append([]int{}, c.Window.AllowedDays...)},
		"lock":   c.Lock, "partitions": orNull(c.Partitions), "manifest": c.Manifest, "evidence": c.Evidence,
		"schedule": c.Schedule.Cron, "notify": nil, "review": c.Review, "bulk_filter": append([]string{}, c.BulkFilter...),
		"limits": object{
			"max_rows_per_run": c.Limits.MaxRowsPerRun, "max_share": c.Limits.MaxShare,
			"rows_per_second": c.Limits.RowsPerSecond, "max_dead_share": c.Limits.MaxDeadShare,
		},
		"mode": c.Mode, "enabled": c.Enabled,
		"posture": Posture(c.Delete), "regulation": c.regulation(), "not_applied": c.notAppliedKeys(),
	}
	if c.Override != nil {
		o["override"] = object{"reason": c.Override.Reason, "approver": c.Override.Approver}
	}
	if c.Start.Column != "" {
		o["start_from"] = c.Start.effective()
	}
	if c.Restrict != nil {
		o["restrict"] = object{"after": c.Restrict.After, "columns": c.Restrict.Columns}
	}
	if c.Redact != nil {
		columns, set := redactions(c.Redact.Columns, c.Redact.Set)
		o["redact"] = object{"after": c.Redact.After, "columns": columns, "set": set}
	}
	switch {
	case c.Unlimited:
		o["delete"] = object{"after": "unlimited"}
	case c.Delete != nil:
		o["delete"] = object{"after": *c.Delete}
	}
	if c.Schedule.Every > 0 {
		o["schedule"] = object{"every": c.Schedule.Every.String()}
	}
	if c.Notify != nil {
		o["notify"] = object{"before": *c.Notify}
	}
	return json.Marshal(o)
}

// regulation is what the basis asks for from the category's event on; nil where
// it names no regulation.
func (c Category) regulation() any {
	law, ok := c.Regulation()
	if !ok {
		return nil
	}
	return object{
		"id": law.ID, "name": law.Name, "citation": law.Citation, "kind": law.Kind,
		"minimum": law.Minimum(c.Start.Event), "maximum": law.Maximum(c.Start.Event),
	}
}

func (c Category) notAppliedKeys() []string {
	keys := []string{}
	for _, n := range c.NotApplied {
		keys = append(keys, n.Key)
	}
	return keys
}

func (c Category) conditions() []object {
	all := make([]object, 0, len(c.Where))
	for _, w := range c.Where {
		o := object{"column": w.Column, "op": w.Op}
		switch {
		case w.Op == "in" || w.Op == "not_in":
			o["value"] = w.Values
		case len(w.Values) == 1:
			o["value"] = w.Values[0]
		}
		all = append(all, o)
	}
	return all
}

func (s Start) effective() object {
	o := object{"column": s.Column, "event": orNull(s.Event), "unit": orNull(s.Unit), "table": nil, "match": nil, "pick": nil}
	if s.From != nil {
		o["table"], o["match"], o["pick"] = s.From.Table, pairs(s.From.Match), s.From.Pick
	}
	return o
}

func pairs(match []Match) object {
	o := object{}
	for _, m := range match {
		o[m.Other] = m.Own
	}
	return o
}

// redactions are the keys columns and set.
func redactions(all []Redaction, assignments []Assignment) (columns, set object) {
	columns, set = object{}, object{}
	for _, c := range all {
		columns[c.Column] = c.effective()
	}
	for _, a := range assignments {
		set[a.Column] = a.Value
	}
	return columns, set
}

func (r Redaction) effective() any {
	switch r.Strategy {
	case SetValue:
		return object{"set": r.Value}
	case HMAC:
		return object{"hmac": r.Format}
	case Truncate:
		return object{"truncate": r.Unit}
	case Mask:
		return object{"mask": object{"keep_last": r.KeepLast}}
	case JSON:
		paths := object{}
		for _, p := range r.Paths {
			paths[p.Path] = p.Action
		}
		return object{"json": paths}
	}
	return r.Strategy
}

func effectiveChildren(children []Child) []object {
	all := make([]object, 0, len(children))
	for _, c := range children {
		o := object{
			"table": c.Table, "match": pairs(c.Match), "on": c.On, "action": c.Action,
			"columns": nil, "set": nil, "objects": nil, "children": effectiveChildren(c.Children),
		}
		if c.Action == "redact" {
			o["columns"], o["set"] = redactions(c.Columns, c.Set)
		}
		if c.Objects != nil {
			o["objects"] = object{"column": c.Objects.Column, "bucket": c.Objects.Bucket}
		}
		all = append(all, o)
	}
	return all
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
