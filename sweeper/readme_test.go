package sweeper

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeNamesEveryVariable holds the README's table equal to Config: every
// variable with its default.
func TestReadmeNamesEveryVariable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for field := range fields(&Config{}) {
		name, rest, _ := strings.Cut(field.Tag.Get("env"), ",")
		row := "| `" + name + "` |"
		if _, value, ok := strings.Cut(rest, "default="); ok {
			row += " `" + value + "` |"
		}
		if !strings.Contains(string(text), row) {
			t.Errorf("README.md has no row that begins with %s", row)
		}
	}
}
