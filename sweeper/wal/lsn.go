package wal

import "github.com/jackc/pglogrepl"

// LSN is a position in the write-ahead log.
type LSN = pglogrepl.LSN
