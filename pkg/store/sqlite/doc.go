// Package sqlite is the store engine for one host: a keyset in one SQLite file,
// shared by any number of processes. It is pure Go.
//
//	PATH        0600  application_id "jwks", user_version 1
//	  keyset    id = 1 | version  | document        at most one row
//	  half      kid    | sealed                     one row a private half
//	PATH-wal    0600  write-ahead log, while a process has the store open
//	PATH-shm    0600  its index, shared memory
//
// # What holds
//
// A change is one BEGIN IMMEDIATE transaction: the compare, the document and the
// halves commit together or not at all, whatever ends the process. Commits are
// durable before Swap returns: the log is on with synchronous=FULL, which is set
// on each connection and read back before each write. A read sees every commit
// that was made before it, by any process.
//
// No write waits and then lands late. Whatever can block, the wait for other
// writers, lies before the deadline's last check, and that check is the last
// act inside the transaction. After it come the log's append and fsync and then
// the step that makes the commit visible. That is the residual: a disk that
// stalls in this fsync, or a process that is stopped at that very moment, can
// make a change visible after its deadline. The keyset's clock_skew must have
// room for the slowest fsync of the disk. A Swap that fails in its COMMIT is
// ambiguous: its frames may be found valid when the log is next recovered.
//
// A private half that is deleted is overwritten in the file (secure_delete),
// and the log that held it is emptied when the readers of the moment allow it.
// What the disk itself keeps is out of reach.
//
// # What is refused
//
// A file that is not a SQLite database, belongs to another application or to a
// later release is refused and left as it was; so is one that others may read
// or write. Network filesystems are refused on Linux, where they can be told
// apart: the log needs shared memory and locks that work. FUSE says nothing of
// what is behind it and is let through; sshfs and its like are not fit. A
// read-only filesystem is refused too: even a reader of the log writes to its
// index. A file that is replaced or removed while the store is open makes every
// later call fail, since another process would see another keyset.
//
// On Linux the database file is locked by open file description, if this is the
// first use of SQLite in the process, so that other code that opens and closes
// the file does not drop the locks.
//
// # Backups
//
// Copying the file alone loses what is still in the log. Use
// sqlite3 PATH "VACUUM INTO 'backup.db'" or sqlite3 PATH ".backup backup.db",
// and keep the seal key elsewhere. To restore, stop every process that has the
// store open, remove PATH-wal and PATH-shm, put the backup in place, chmod 600.
package sqlite
