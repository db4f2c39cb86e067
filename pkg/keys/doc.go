// Package keys owns the life of the signing keys: which key signs, which keys
// are published, when each of them comes and goes, and what a process may do
// on the strength of what it last read.
//
// # One document
//
// All truth is one [Keyset] document in a [Store], changed only by
// compare-and-swap. Private halves lie beside it, sealed, and come and go in
// the same transaction. A [Ring] is one process's live view of it.
//
// # The life of a key
//
// No state is stored. It follows from which stamps a key has; only the end of
// retirement reads a clock:
//
//	         publish        activate          rotate            expires_at
//	            |               |                |                   |
//	  (none)    |    pending    |     active     |      retired      |  expired
//	            |               |                |                   |
//	in JWKS     |<------------------------------------------------->|
//	signs                       |<-------------->|
//	half kept   |<---------------------------------------->|
//	                                                   destroy_at
//
//	ready_at   = max(now + D + 2M + e, docs_until)
//	destroy_at = max(now + D + e, acts_until)
//	expires_at = max(now + D + T + 2e, tokens_until) + L
//
// A revoked key leaves at once from wherever it stands. R, T, M, D, L and e are
// the durations of [Policy]. A key waits until ready_at because a process that
// has not seen it yet may go on serving the document without it for D, caches
// may hold that document for M (2M where a reader ignores the Age header behind
// a shared cache), and clocks differ by e. It stays until expires_at because
// that same process may go on signing with it for D, the tokens live for T, two
// clock errors add up (the signer's and the remover's), and verifiers allow L.
// The three _until stamps say the same of processes that still act on an
// earlier policy; each policy change raises them.
//
// # What it guarantees
//
//   - A token minted through a Ring is findable until its exp plus L: every
//     JWKS that a compliant cache may hold contains its key, unless the key was
//     revoked.
//   - One key is active in each version of the keyset, and every document ever
//     published holds it. A successor stands beside it from the first document
//     on, but for the moments after a revocation or a change of algorithm.
//   - A revoked key is served by nobody after max(now + D + e, acts_until).
//   - A process that has not confirmed the keyset for D neither signs nor
//     publishes. One whose clock cannot be trusted takes no step.
//   - An unreadable private half stops signing. It is never silently replaced.
//   - A read never creates anything.
//
// # What it refuses
//
// It knows no tokens, no HTTP, no configuration and no engine. It never prints
// a private half. It takes no lock and elects no leader: any process may try a
// step, the pure functions on Keyset decide, and the swap arbitrates.
package keys
