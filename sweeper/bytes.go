package sweeper

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a size in bytes, written with a binary unit.
type Bytes int64

// units are those of Bytes, largest first, as shifts.
var units = []struct {
	name  string
	shift int
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// EnvDecode reads a whole number with a unit; 0 needs none.
func (b *Bytes) EnvDecode(text string) error {
	for _, u := range units {
		number, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > 1<<(62-u.shift) || !decimal.MatchString(number) {
			return fmt.Errorf("not a size")
		}
		*b = Bytes(n << u.shift)
		return nil
	}
	if text != "0" {
		return fmt.Errorf("not a size")
	}
	*b = 0
	return nil
}

// String writes the size with the largest unit that leaves no rest.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%(1<<u.shift) == 0 {
			return strconv.FormatInt(int64(b)>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
