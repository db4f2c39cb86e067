//go:build soak

package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// scenario is a fault and what to expect of it.
type scenario struct {
	name   string
	short  bool // part of the short form
	target target
	outage outage
	fault  fault
}

// target is what a fault happens to.
type target int

const (
	nothing target = iota
	oneReplica
	theStore
	everything
)

// recoverWithin is how long a replica may take to be ready after the end of a fault. It is
// a few times what it takes to connect again.
const recoverWithin = 15 * time.Second

// play runs a scenario and returns its figures.
func (f *fleet) play(t *testing.T, s scenario) row {
	t.Helper()
	f.checker.begin(f.engine.name, s.name)
	f.awaitRevocable(t)
	revoked := make(chan error, 1)
	if s.target == everything {
		revoked <- nil // it revokes keys itself
	}
	if err := s.fault(t, f, f.replicas[0], func() { go func() { revoked <- f.revoke(f.ctx) }() }); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	f.recover(t)
	f.checker.count(func(r *row) { r.back = time.Since(ended) })
	if err := <-revoked; err != nil {
		f.checker.report(err)
	}
	f.awaitRotation(t)
	if err := wait(f.ctx, f.checker.untilForgotten()); err != nil {
		t.Fatal(err)
	}
	r, err := f.checker.end()
	if err != nil {
		t.Error(err)
	}
	if err := r.judge(s.outage); err != nil {
		t.Error(err)
	}
	return r
}

// awaitRevocable waits until the key that signs can be revoked, so that the revocation is
// committed soon after the fault begins.
func (f *fleet) awaitRevocable(t *testing.T) {
	t.Helper()
	var err error
	ok := until(f.ctx, 3*f.engine.policy.interval, func() bool {
		_, _, err = f.operator.run(f.ctx, "keys", "revoke", f.checker.newestKid(), "--dry-run")
		return err == nil
	})
	if !ok {
		t.Fatal(err)
	}
}

// recover waits until every replica is ready and has the newest keyset. It helps those
// that are not after some time: it starts them again.
func (f *fleet) recover(t *testing.T) {
	t.Helper()
	if until(f.ctx, recoverWithin, func() bool { return len(f.notReady(f.ctx)) == 0 }) {
		return
	}
	for _, r := range f.notReady(f.ctx) {
		f.checker.count(func(row *row) { row.helped++ })
		f.checker.report(fmt.Errorf("replica %s needed help: %s", r.name, r.lastLines()))
		r.kill()
		if err := r.start(f.ctx, f.binary); err != nil {
			t.Fatal(err)
		}
	}
	if !until(f.ctx, recoverWithin, func() bool { return len(f.notReady(f.ctx)) == 0 }) {
		t.Fatal("the fleet did not recover")
	}
}

// notReady returns the replicas that are not ready, and those that sign with another key
// than most.
func (f *fleet) notReady(ctx context.Context) (bad []*replica) {
	byKid := map[string][]*replica{}
	for _, r := range f.replicas {
		kid := r.activeKid(ctx)
		byKid[kid] = append(byKid[kid], r)
	}
	most := ""
	for kid, replicas := range byKid {
		if kid != "" && len(replicas) > len(byKid[most]) {
			most = kid
		}
	}
	for kid, replicas := range byKid {
		if kid == "" || kid != most {
			bad = append(bad, replicas...)
		}
	}
	return bad
}

// activeKid is the key with which a replica signs, "" if it is not ready.
func (r *replica) activeKid(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, _, body, err := r.ask(ctx, http.MethodGet, "/readyz")
	if err != nil || status != http.StatusOK {
		return ""
	}
	var answer struct {
		KeyID string `json:"kid"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.KeyID
}

// awaitRotation waits until all sign with one key, and then until they do with another.
func (f *fleet) awaitRotation(t *testing.T) {
	t.Helper()
	kid := f.awaitNewKey(t, "")
	f.awaitNewKey(t, kid)
}

// awaitNewKey waits until every replica signs with the same key, which is not old and not
// revoked.
func (f *fleet) awaitNewKey(t *testing.T, old string) (kid string) {
	t.Helper()
	ok := until(f.ctx, 3*f.engine.policy.interval, func() bool {
		kid = f.checker.newestKid()
		return kid != old && !f.checker.isRevoked(kid) && kid == f.replicas[0].activeKid(f.ctx) && len(f.notReady(f.ctx)) == 0
	})
	if !ok {
		t.Errorf("not every replica signs with a new key after %v", 3*f.engine.policy.interval)
	}
	return kid
}
