// Package postgres is the store engine for many hosts: a keyset in a PostgreSQL
// database (13 or later). README.md beside this file is for operators.
//
//	schema jwksctl (parameter "schema" of the URL)
//	  keyset          id = 1 | version | deadline | document    at most one row
//	  private_key     kid    | sealed                           one row for each private key
//	  schema_version  version                                   one row
//
// # Guarantees
//
// A change is one transaction: the version check, the private keys and the document
// commit together or not at all. Swap locks the row of the keyset first, so that writers
// queue, and its last statement before COMMIT compares the deadline with the clock of the
// server. If the process stops before it sends COMMIT, the server ends the transaction
// after idle_in_transaction_session_timeout. That statement sets it to the time that is left,
// at least 1 ms and at most 1 s.
// Only the COMMIT itself can end later: the fsync, and the wait for a synchronous standby.
//
// COMMIT is never cancelled. A server that is asked to cancel the wait for a synchronous
// standby commits without it and reports success with a warning. Therefore a Swap whose
// context ends returns an error and leaves the COMMIT to itself, and a COMMIT with a
// warning is an error too. After both the caller has to read again.
//
// A read is one statement that also asks whether the server is in recovery. A standby is
// refused, for reads too, because it may be behind. Its connections are dropped, so that
// the next one can find the primary among the hosts of the URL.
//
// Nothing depends on the state of a session: statements are not prepared, and settings are
// local to a transaction. Therefore a pooler in transaction mode works.
//
// # What it refuses
//
// A schema of a later release; synchronous_commit = off (it is set in each change and read
// back); a standby; a URL with a parameter that it does not know.
package postgres
