package plan

import (
	"fmt"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
)

// VacuumSQL vacuums a table and renews its statistics. It leaves the empty end of
// the file, for which the server would lock the table against everybody.
func VacuumSQL(table catalog.Name) string {
	return fmt.Sprintf("VACUUM (ANALYZE, TRUNCATE false) %s", table.Quoted())
}
