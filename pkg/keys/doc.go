// Package keys decides which key signs tokens, which keys are published in the
// JWK Set (the JWKS), and when each key is created, activated, retired, deleted or
// revoked.
//
// # Parts
//
// A [Keyset] is one document that holds the policy and all public keys with their
// stamps. A [Store] holds that document and the private keys, all sealed by a [Sealer]
// under the sealing key that the document names. It replaces the document by
// compare-and-swap, and adds, replaces and deletes private keys in the same transaction.
// A [Ring] is one process's live view of the keyset: it signs and
// publishes from memory and takes the timed steps. A Ring of [OpenReader] only publishes:
// it needs no sealing key and no right to read private keys. A [Witness] keeps a copy of the
// newest document on a machine, so that a store that was restored from a backup is
// detected.
//
// The methods of Keyset are pure functions of the document and the time
// (keyset_*.go). A Ring does the input and output (ring_*.go).
//
// # The states of a key
//
// A state is not stored. It follows from the key's stamps, which are times:
//
//	            publish        activate          rotate            expires_at
//	               |               |                |                   |
//	     (none)    |    pending    |     active     |      retired      |  expired
//	               |               |                |                   |
//	in the JWKS    |<------------------------------------------------->|
//	signs                          |<-------------->|
//	private key    |<---------------------------------------->|
//	                                                      destroy_at
//
// A revoked key leaves the JWKS from any state at once. The specimen is one more key,
// which is created expired and never published: it signs tokens "with an expired key"
// for those who test verifiers. README.md gives the formula and the reason for every
// stamp.
//
// A step (publish, activate, …) changes the document. A guard is a check that can
// refuse a step, and a refusal says why. The gate is the guard that keeps a key from
// signing before every cache has it. The fence keeps a process from acting on a view
// that it could not confirm with the store for max_staleness (D). The epoch counts the
// restored backups that an operator accepted.
//
// # Backups
//
// A [Backup] is a JSON file with one version of the keyset, the same for every engine:
//
//	{
//	  "format": "jwksctl-backup-1",
//	  "document": {"schema": 1, "id": …, "version": 7, …},   as the store has it; see Keyset
//	  "private_keys": {"KID": "c2VhbGVk…", …},               sealed, in base64
//	  "sha256": "9f86d0…"                                    of this file with "" in its place
//	}
//
// It is written in one way only, and [ParseBackup] refuses a file that differs in any
// byte. The checksum finds damage, not forgery: that the Sealer does. The file does not
// contain the sealing key.
//
// # Guarantees
//
// The policy's durations are T, M, D, L and e; see [Policy].
//
//   - For a token minted by a Ring, every JWKS that a compliant cache may have contains
//     its key until exp plus L, unless the key was revoked.
//   - One key is active in each version of the keyset, and every published JWKS
//     contains it.
//   - No process serves a revoked key after max(now + D + e, acts_until).
//   - A process that has not confirmed the keyset for D neither signs nor publishes. A
//     process whose clock cannot be trusted takes no step, except that it revokes.
//   - A version that became visible later than its stamps allow is noticed by the
//     processes that still confirmed the version before it, and its stamps are moved;
//     README.md says how far that goes.
//   - A private key that cannot be opened stops signing. It is never silently replaced.
//   - A read never creates anything.
//
// # What it does not do
//
// It knows no tokens, no HTTP, no configuration and no storage engine. It never prints
// a private key. It takes no lock in the store and elects no leader: any process may
// try a step, the pure functions decide, and the swap decides which process succeeds.
package keys
