// Package policy reads policy files: it turns YAML into a checked [Set] of
// categories, or into a list of everything that is wrong with it.
//
// The way of a file: its bytes are checked (size, UTF-8, control characters),
// then its tokens (no alias, anchor, tag, second document or deep nesting, which
// are refused before anything walks a tree), then its syntax tree becomes plain
// nodes with positions, then the JSON Schema of package policies judges the
// structure and the readers of this package judge the meaning: of each key, of
// the keys of a category together, of its window before the law that is its
// basis, and of categories over one table. What is allowed and may not be meant
// is in [Set.Warnings]. A key that the language knows and this version does not
// apply is read and shown; whoever is about to act asks [Set.Applicable], so that
// none is ignored.
//
// [Shrunk] compares a set with an earlier one, for categories that are locked.
//
// Guarantees: either a whole, valid Set or errors, never both; every error of
// every file at once, ordered by file and line, each an [*Error] with file, line,
// column, source line and caret; the same sources give the same hash.
//
// Periods are compared at the start that is least favourable, never as
// intervals; only [Posture] does that, as its counterpart in SQL.
//
// It never talks to a database, never reads a clock, and never decides what a
// name means in a catalogue: tables and columns are taken as they are written.
package policy
