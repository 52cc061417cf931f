package policy

import (
	"slices"
	"strings"
)

// synonyms are words that people expect and the language calls otherwise.
var synonyms = map[string]string{
	"retention": "delete", "ttl": "delete", "purge": "delete", "anonymize": "redact", "anonymise": "redact",
	"filter": "where", "conditions": "where", "legal_basis": "basis", "cron": "schedule",
}

// meant returns which of known the word was most likely to be, or "".
func meant(word string, known []string) string {
	words := slices.Clone(known)
	for s, key := range synonyms {
		if slices.Contains(known, key) {
			words = append(words, s)
		}
	}
	slices.Sort(words[len(known):])
	near := Nearest(strings.ToLower(word), words)
	if key, ok := synonyms[near]; ok && !slices.Contains(known, near) {
		return key
	}
	return near
}

// Nearest returns the candidate that word is most likely a slip of, or "". The
// first of equals wins.
func Nearest(word string, candidates []string) string {
	best, at := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(word, c); d < at && d < max(len(word), len(c)) {
			best, at = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, changes and swaps of neighbours
// that lead from a to b. Words too long to be a slip are infinitely far.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return 1 << 30
	}
	var before, last, row [longest + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
