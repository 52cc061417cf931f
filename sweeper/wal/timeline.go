package wal

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/pgsweeper/sweeper/sweeper/pg"
)

// SwitchPoint tells where the server that o names left timeline from on its way
// to timeline to, from the history that it keeps; 0: it keeps none of it any more.
// Of o it needs the URL and the application's name.
func SwitchPoint(ctx context.Context, o Options, from, to int) (pglogrepl.LSN, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := dial(ctx, &o)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	history, err := pglogrepl.TimelineHistory(ctx, conn, int32(to))
	if code := pg.SQLState(err); code == "58P01" || code == "42704" || code == "22023" {
		return 0, nil // the file is gone, or there was none
	}
	if err != nil {
		return 0, pg.Wrap(fmt.Sprintf("read the history of timeline %d", to), err)
	}
	return leftAt(history.Content, from), nil
}

// leftAt finds the line of a history that ends timeline from.
func leftAt(history []byte, from int) pglogrepl.LSN {
	lines := bufio.NewScanner(bytes.NewReader(history))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != strconv.Itoa(from) {
			continue
		}
		if lsn, err := pglogrepl.ParseLSN(fields[1]); err == nil {
			return lsn
		}
	}
	return 0
}
