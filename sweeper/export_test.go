package sweeper

// HandOver is what the stream hands to the log, for tests that stop between
// the two.
var HandOver = handOver

// Trusted looks whether an as-of can be judged by.
var Trusted = trusted

// Beating shows that the process behind a connection lives, until quiet.
var Beating = beating
