// Package audit writes the audit log: one line of JSON for each token, each refusal, and
// each change of keys, settings and clients.
//
// An [Event] has no token and no secret. A line is written before the answer that it is
// about, so that no token leaves the server without its line. If the log is required and
// a line cannot be written, the error makes the server issue nothing.
//
// Several processes may append to one file, because each line is one write.
package audit
