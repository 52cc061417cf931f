package purgelog

import (
	"github.com/jackc/pgx/v5/pgtype"
)

// parseArray reads the text form of a text[].
func parseArray(s string) ([]string, error) {
	var list []string
	m := pgtype.NewMap()
	err := m.Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, []byte(s), &list)
	return list, err
}
