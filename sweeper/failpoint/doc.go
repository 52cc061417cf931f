// Package failpoint names the moments at which a kill would hurt most, so that
// tests can have the process die exactly there.
//
// A binary built with the tag failpoint reads SWEEPER_FAILPOINT, in the form
// name:kill or name:kill:nth: at the nth time (default 1) that it comes to the
// point of that name it says so on stderr and ends itself with SIGKILL. So
// nothing is deferred, flushed or closed, as when the machine kills it.
//
// Without the tag there is nothing to set: Hit is empty, is inlined away, and
// no environment is read. It never does anything but end the process.
package failpoint
