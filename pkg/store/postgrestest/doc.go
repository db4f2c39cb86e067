// Package postgrestest starts PostgreSQL servers for tests.
//
//	server := postgrestest.Start(t)
//	url := server.CreateDatabase(t) // postgres://postgres@/test_1?host=FOLDER&port=PORT
//
// A server listens on a socket in a temporary folder and on a free port of 127.0.0.1. Its
// folder is a copy of one that initdb made, which the user's cache folder keeps. The
// superusers are postgres and the user of the test; both need no password. Every other
// role needs one on 127.0.0.1, and none on the socket.
//
//	FOLDER                  removed at the end of the test, also if the test process is killed
//	  data                  the cluster
//	  .s.PGSQL.PORT         the socket
//	  log                   what the server says; shown if the test fails
//
// postgres refuses to run as root. A test that runs as root starts it as the user
// postgres, or as nobody if there is no such user.
//
// The server does not fsync, so that tests are fast. A kill of its processes loses
// nothing, because the system keeps what was written. It is no test of a power failure.
//
// Without PostgreSQL the test is skipped. If the variable CI is set, it fails on Linux.
package postgrestest
