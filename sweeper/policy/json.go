package policy

import "encoding/json"

// object keeps the keys of an encoded category short to write.
type object = map[string]any

// MarshalJSON returns the effective values, defaults filled in, under the keys of
// the policy language, with the category's name, file and line beside them.
// partitions is null where the catalogue decides.
func (c Category) MarshalJSON() ([]byte, error) {
	o := object{
		"category": c.Name, "file": c.At.File, "line": c.At.Line, "timezone": c.Timezone,
		"description": orNull(c.Description), "notes": orNull(c.Notes), "basis": orNull(c.Basis),
		"table": c.Table, "subject": orNull(c.Subject), "tenant": orNull(c.Tenant),
		"where": c.conditions(), "start_from": nil, "redact": nil, "delete": nil,
		"partitions": orNull(c.Partitions), "manifest": c.Manifest, "evidence": c.Evidence,
		"limits": object{"max_share": c.Limits.MaxShare}, "mode": c.Mode, "enabled": c.Enabled,
		"schedule": c.Schedule.Cron,
	}
	if c.Start.Column != "" {
		o["start_from"] = object{"column": c.Start.Column, "event": orNull(c.Start.Event)}
	}
	if c.Redact != nil {
		o["redact"] = c.Redact.effective()
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
	return json.Marshal(o)
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

func (r *Redact) effective() object {
	columns, set := object{}, object{}
	for _, c := range r.Columns {
		switch c.Strategy {
		case SetValue:
			columns[c.Column] = object{"set": c.Value}
		case HMAC:
			columns[c.Column] = object{"hmac": c.Format}
		default:
			columns[c.Column] = c.Strategy
		}
	}
	for _, a := range r.Set {
		set[a.Column] = a.Value
	}
	return object{"after": r.After, "columns": columns, "set": set}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
