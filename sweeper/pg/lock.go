package pg

import "hash/fnv"

// The advisory locks of sweeper are pairs of 32-bit keys, so that they cannot
// meet an application's single-key locks. The first key is ours for all of
// them; the SQL functions use the same numbers, held equal by a test.
const (
	LockSpace   int32 = 1398228304 // "SWEP" in ASCII
	LockFence   int32 = 1          // shared by batches, exclusive by writes to the holds
	LockInstall int32 = 2          // install, upgrade, uninstall
	LockLog     int32 = 3          // the one writer of the purge log
)

// StepLock is the second key of the lock on one step: a relation and a
// disposition of one category. Keys from 1024 up are steps.
func StepLock(step string) int32 {
	h := fnv.New32a()
	h.Write([]byte(step))
	return int32(h.Sum32()&0x7fffffff) | 1024
}

// CategoryLock is the second key of the lock on the scheduled runs of one
// category. A step's name never begins like that.
func CategoryLock(category string) int32 { return StepLock("category/" + category) }
