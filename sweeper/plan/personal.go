package plan

import (
	"slices"
	"strings"
	"unicode"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// personalWords make a column look like personal data when its name has one of
// them as a whole word.
var personalWords = strings.Fields(`
	email mail phone telephone tel mobile fax msisdn
	surname forename firstname lastname fullname nickname maiden username
	birth birthday birthdate birthplace dob born gender sex nationality citizenship religion ethnicity
	ssn nin passport iban pan card cvv cvc
	address street city town zip zipcode postal postcode
	ip ipaddress useragent imei imsi
	selfie face facial biometric biometrics fingerprint photo portrait signature
	geo lat lon lng latitude longitude
	password passwd secret token
	mother father spouse`)

// personalPairs do so when their words follow one another.
var personalPairs = [][2]string{
	{"user", "agent"},
	{"national", "id"},
	{"national", "number"},
	{"tax", "id"},
	{"tax", "number"},
	{"device", "id"},
	{"social", "security"},
	{"driver", "license"},
	{"driver", "licence"},
	{"driving", "license"},
	{"driving", "licence"},
	{"identity", "number"},
	{"personal", "number"},
	{"account", "number"},
}

// things have names that are nobody's.
var things = strings.Fields(`
	file host table column event plan product template queue job app application service role group field schema path class type bucket topic
	domain server node module method function step country currency bank merchant company organisation organization category tag label task
	project team index constraint policy partition slot database tenant workspace folder document image`)

// tellNothing are the last words of columns that are about such data and hold none.
var tellNothing = strings.Fields(`count verified status type kind enabled required attempts at until`)

// LooksPersonal tells whether a column's name or type is that of personal data.
// It is a hint: a name may hide what it holds, or hold less than it says.
func LooksPersonal(c catalog.Column) bool {
	words := wordsOf(c.Name)
	switch {
	case c.Base == "inet", c.Base == "cidr":
		return true
	case len(words) == 0, c.Base == "bool":
		return false
	case c.Category == "D":
		return slices.ContainsFunc(words, func(w string) bool {
			return slices.Contains([]string{"birth", "birthday", "birthdate", "dob", "born"}, w)
		})
	case slices.Contains(tellNothing, words[len(words)-1]):
		return false
	}
	for i, w := range words {
		previous := ""
		if i > 0 {
			previous = words[i-1]
		}
		if slices.Contains(personalWords, w) || w == "name" && !slices.Contains(things, previous) || slices.Contains(personalPairs, [2]string{previous, w}) {
			return true
		}
	}
	return false
}

// wordsOf splits snake_case and camelCase, and drops numbers: address2 is an
// address.
func wordsOf(name string) []string {
	runes := []rune(name)
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = nil
		}
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r):
			end()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end()
		}
		word = append(word, r)
	}
	end()
	return words
}
