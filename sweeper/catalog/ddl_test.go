package catalog_test

import (
	"fmt"
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/catalog"
	"github.com/pgsweeper/sweeper/sweeper/pgtest"
)

// TestReadBesidePartitionsThatComeAndGo reads the catalogue while the
// application makes and drops partitions: neither may be the other's victim.
func TestReadBesidePartitionsThatComeAndGo(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, `create schema app; create table app.shots (id bigint, at timestamptz, primary key (id, at)) partition by range (at);
		create table app.shots_rest partition of app.shots default; create table app.shots_always partition of app.shots for values from ('1999-01-01') to ('2000-01-01')`)
	application := db.Conn(t, "")
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 150 && err == nil; i++ {
			_, err = application.Exec(t.Context(), fmt.Sprintf(`create table app.p%[1]d partition of app.shots for values from ('2000-01-01'::date + %[1]d) to ('2000-01-02'::date + %[1]d)`, i))
			if err == nil {
				_, err = application.Exec(t.Context(), fmt.Sprintf(`drop table app.p%d`, i))
			}
		}
		done <- err
	}()
	conn := db.Conn(t, "")
	for {
		shots := catalog.Name{Schema: "app", Relation: "shots"}
		c, err := catalog.Read(t.Context(), conn, []catalog.Name{shots})
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, l := range c.Tables[shots].Leaves {
			names[l.Text] = l.Direct
		}
		if !names["app.shots_rest"] || !names["app.shots_always"] || len(names) > 3 {
			t.Errorf("the leaves are %v", names)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the application: %v", err)
			}
			return
		default:
		}
	}
}
