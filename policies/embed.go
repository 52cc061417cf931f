// Package policies carries the sample policy sets, the catalogue of regulations
// and the JSON Schemas of both inside the binary.
//
// The schema is the one source of the language's structure: an editor completes
// by it and the loader refuses by it. The package holds no code and never reads
// the disk.
package policies

import "embed"

// FS holds every sample set, the regulations and the schemas, at their base
// names.
//
//go:embed *.yaml *.schema.json
var FS embed.FS

// Schema is policy.schema.json (draft 2020-12).
//
//go:embed policy.schema.json
var Schema []byte

// Regulations is regulations.yaml, which lies beside the sample sets and is
// none.
//
//go:embed regulations.yaml
var Regulations []byte

// RegulationsSchema is regulations.schema.json (draft 2020-12).
//
//go:embed regulations.schema.json
var RegulationsSchema []byte
