// Package httpd answers probes, metrics and a status page over HTTP.
//
// It guarantees that no request changes anything, that none of them waits for
// the database (all show what was seen last), and that a page names policies,
// tables and counts, never a data subject. It knows nothing of where the state
// comes from.
package httpd
