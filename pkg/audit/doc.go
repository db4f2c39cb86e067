// Package audit writes the audit log: one line of JSON for each token, each refusal, and
// each change of keys, settings and clients.
//
// An [Event] has no token and no secret. A line is written before the answer that it is
// about, so that no token leaves the server without its line. If the log is required and
// a line cannot be written, the error makes the server issue nothing.
//
// # Lines
//
// A line looks like this; the members are those of Event:
//
//	{"time":"2026-01-02T15:04:05.678Z","event":"token_issued","route":"/auth", …}
//
// Whatever a client sends, it cannot break a line or send commands to a terminal: what is
// not printable is escaped, and bytes that are not UTF-8 become U+FFFD. Of a text that is
// longer than 1,024 bytes, the line has that many and then "…"; of a list, the first 16
// texts and then "…". In place of what looks like a token it has "(token)".
//
// # The file
//
// A file is created with mode 0600. A file or a pipe that other users may read or change is
// refused, and so is a link without a target. A device is used as it is.
//
// Each line is one write at the end of the file. Therefore several processes may append to
// one file on a local disk, and lines do not mix. If a write ends early, as on a full
// disk, the error says that the line is missing. The part that was written stays, because
// nothing is ever removed from the file: it could be the line of another process. Such a
// part, also one that a crash left, is followed by a newline before the next line of the
// process that wrote it. A line that another process writes before that stands behind the
// part, complete.
//
// If the file at the path is moved or deleted, the next line goes to a new file. A line is
// handed to the operating system and not flushed to the disk: a power loss, unlike a crash
// of the process, may lose the newest lines.
package audit
