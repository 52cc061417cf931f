package plan_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
