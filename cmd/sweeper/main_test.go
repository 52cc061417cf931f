package main

import (
	"os"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

func TestMain(m *testing.M) {
	pgtest.Main(m, func() { _ = os.RemoveAll(folder) })
}
