// Package etcd is the store engine for many hosts that share an etcd cluster: a keyset
// under one prefix, which any number of processes use.
//
//	PREFIX/keyset            VERSION "\n" document   version in decimal digits, from 1
//	PREFIX/private_key/KID   sealed private key      one key for each; KID is any bytes
//	PREFIX/lease             empty                   for seconds after a change
//
// The URL names members of the cluster, the prefix, and how to log in:
//
//	etcd://h1[:2379],h2,h3[/PREFIX][?tls=true&cacert=&cert=&key=&user=&password_file=]
//
// The prefix is taken literally, and is /jwksctl if there is none. The parameter cacert
// is a file with the certificates to trust, cert and key are the client's certificate.
// Each of them turns TLS on, and so does tls=true, which trusts what the system trusts.
// The files are read again at each new connection, the password at each login. A
// password does not stand in the URL.
//
// # Guarantees
//
// A change is one transaction of etcd. It compares the ModRevision of PREFIX/keyset with
// the one that Swap has read together with the version, so the document and the private
// keys change together or not at all. The client sends a transaction once and never
// repeats it by itself: a transaction that fails in an unclear way is an unclear error.
// Reads are linearizable.
//
// A transaction is sent only before its deadline, and the client waits for it until
// then at the longest. It puts PREFIX/lease under a lease that ends at the deadline, but
// not before 2 s, which is the shortest lease. When the lease has ended, etcd refuses the
// transaction, also if it was held up in the network or in a frozen member. etcd itself
// waits for a request 5 s and two elections, which is 7 s by default, and a new leader
// begins the time of a lease again. Therefore the keyset needs a clock_skew of at least 8 s.
//
// No time bounds a transaction that the leader wrote to its log just before the cluster
// lost its quorum: it may become visible when the quorum is back. Package keys detects
// that, because the document contains its deadline.
//
// # Requests that etcd refuses
//
// etcd takes no request above 1.5 MiB and no transaction with more than 128 operations,
// unless its operator changed that. Nothing of such a change is written.
package etcd
