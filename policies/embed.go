// Package policies carries the sample policy sets and the JSON Schema of the
// policy language inside the binary.
//
// The schema is the one source of the language's structure: an editor completes
// by it and the loader refuses by it. The package holds no code and never reads
// the disk.
package policies

import "embed"

// FS holds every sample set and the schema, at their base names.
//
//go:embed *.yaml policy.schema.json
var FS embed.FS

// Schema is policy.schema.json (draft 2020-12).
//
//go:embed policy.schema.json
var Schema []byte
