// Package sqlite is the store engine for one host: a keyset in one SQLite file that
// any number of processes share. It is pure Go.
//
//	PATH            0600  application_id "jwks", user_version 2
//	  keyset        id = 1 | version | document     at most one row
//	  private_key   kid    | sealed                 one row for each private key
//	PATH-wal        0600  write-ahead log, while a process has the store open
//	PATH-shm        0600  its index, shared memory
//
// Open upgrades a file with an older user_version, also for a command that only reads.
// An older release refuses a file with a newer one, and a process of an older release
// that has the file open fails at its next use of a private key. Therefore, stop those
// processes before the first use of a newer release.
//
// # Guarantees
//
// A change is one BEGIN IMMEDIATE transaction: the version check, the document and
// the private keys commit together or not at all, also if the process is killed.
// Commits are durable before Swap returns: the write-ahead log is used with
// synchronous=FULL, which is set on each connection and read back before each write.
// A read sees every commit that was made before it, by any process.
//
// A write does not wait and then commit after its deadline. The wait for other
// writers comes before the last check of the deadline, and that check is the last
// statement before the commit. Only the commit itself comes later: appending to the
// log, its fsync, and making it visible. A disk that stalls in this fsync, or a
// process that is stopped during it, can make a change visible after its deadline.
// Therefore the clock_skew of the keyset must be longer than the slowest fsync of the
// disk. A Swap that fails in its commit is ambiguous, because the next recovery of
// the log may find the change complete.
//
// The log is emptied into the file after each change, and on Open after a crash, as
// soon as no reader uses it. A deleted private key is overwritten in the file
// (secure_delete). Copies that the disk itself keeps are not reached.
//
// # Refused files
//
// Open refuses, and does not change, a file that is not a SQLite database, that
// belongs to another application or to a later release, or that other users may read
// or write; package fileaccess says who they are. SQLite gives the log and its index the
// mode of the file. On Linux it refuses network filesystems, because the log needs shared
// memory and working locks. It cannot detect those behind FUSE: do not use sshfs and
// similar. It refuses a read-only filesystem, because even a reader writes to the
// index of the log; OpenReader does not. If the file is replaced or removed while the
// store is open, every later call fails, because another process would see another
// keyset.
//
// On Linux the file is locked by open file description, if this is the first use of
// SQLite in the process, so that other code that opens and closes the file does not
// release the locks.
//
// # Backups
//
// Use jwksctl store backup, whose file any engine can restore, or
// sqlite3 PATH "VACUUM INTO 'backup.db'" or sqlite3 PATH ".backup backup.db",
// and store the sealing key elsewhere. A plain copy of the file has every change too,
// unless it is made during a change or while a reader keeps the log in use. To restore,
// stop every process that has the store open, remove PATH-wal and PATH-shm, copy the
// backup to PATH, chmod 600 PATH.
package sqlite
