package sweeper

import (
	"crypto/rand"
	"encoding/hex"
)

// instance names one process among those that share a database. All of its
// connections carry the name, so that another process can tell what belongs to
// one that is frozen, and end it as a whole.
type instance string

func newInstance() instance {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	return instance(hex.EncodeToString(id[:]))
}

// purger is the application_name of the connections of the purging role.
func (i instance) purger() string { return "sweeper/" + string(i) }

// logger is that of the connections of the logging role.
func (i instance) logger() string { return "sweeper/" + string(i) + " log" }
