// Package simulation proves the guarantees of pkg/keys by running its code, not a model
// of it. It has tests only.
//
// # The simulation
//
// A world is one keyset in one simulated store, and the processes that use it. The
// processes are real Rings. They run on three hosts. Each host has a clock that is wrong
// by a part of clock_skew (e), or by more after a jump, and a connection to the store
// that can break. A call to the store can be slow, fail, or take effect although the
// process gets an error, and a process can crash before or after it. A world runs in one
// goroutine, and whatever takes time is a nested call, so the same scenario always gives
// the same result.
//
// A scenario is the policy, the clocks and the list of actions: start, stop and
// disconnect hosts, take timed steps, rotate, revoke, import, change the policy, move
// clocks, damage private keys. Every scenario is drawn from a seed and prefers extremes,
// for example a write that lands at its deadline, just after another process read the
// store.
//
// In every second world, on average, some writes land after their deadline, by up to
// three times e (late_test.go). Other processes read the store until then and are often disconnected
// afterwards. At least one of them takes a step before a stamp of the late version falls
// due, which is what the guarantees of pkg/keys ask for in such a case.
//
// The checker sees every commit. At every time at which a process may begin or stop to
// do something, it has the process sign a token and publish the JWK Set, and compares
// these with everything that caches may have and that tokens still need. It checks the
// invariants by number:
//
//	 1  Until a token's exp plus L, every JWK Set that a compliant cache may have contains its key.
//	 2  Each version has one active key. Two processes disagree about it for D at most.
//	 3  No key signs before its ready_at, unless an operator forced it.
//	 4  No key leaves before the last token that it could have signed has expired, L included.
//	 5  No process serves and no cache has a revoked key after the times that `keys revoke` prints;
//	    if the revocation lands late, after these times and as much as it was late.
//	 6  A kid is one key for ever. A removed kid does not come back. Versions only grow.
//	 7  A JWK Set contains the active key.
//	 8  No process acts on a change that is not committed.
//	10  A private key that cannot be opened stops signing and is not replaced.
//	11  Reads do not write.
//
// and some rules without a number, such as "fence" and "stamps" (see the constants in
// checker_test.go).
//
// A failing seed is shortened: actions and faults are dropped as long as the same
// invariant breaks. The rest is printed with a trace, one line for each event.
// TestRegressions keeps such scenarios.
//
// # The search
//
// TestSearch visits every reachable state of a very small world: two processes, time in
// whole seconds, durations of one or two seconds, and two or three writes. It uses the
// pure functions of keys.Keyset alone. The search is breadth first, so the first trace
// that breaks an invariant is a shortest one.
//
// # The mutations
//
// TestMutations weakens one guard or one term of a formula at a time by a change to the
// syntax of pkg/keys. The simulation, the search, or a unit test that the table names
// must then fail. So the proof would notice if that guard were missing.
//
// # What is not covered
//
// Invariant 9 (nothing private in logs and responses), restored backups and the witness
// file, background loops, HTTP and the storage engines: unit tests and `make fleet`
// cover these. Random worlds are not a proof of absence; the search is, for its sizes.
//
// # How to run it
//
//	go test ./pkg/keys/simulation     500 worlds and a small search
//	make proof                        5,000 worlds and the whole search
//	make simulate SIMSEEDS=100000     as many worlds as you like
//	make mutants                      every mutation
//
// To see a failing seed again:
//
//	go test ./pkg/keys/simulation -run Simulation -sim.seeds 1 -sim.first SEED
package simulation
