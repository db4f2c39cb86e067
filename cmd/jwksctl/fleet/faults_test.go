//go:build soak

package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// fault makes a fault and ends it. It calls revoke while the fault lasts. A fault of a
// replica is a fault of r; it does not use t.
type fault func(t *testing.T, f *fleet, r *replica, revoke func()) error

// none is no fault.
func none(_ *testing.T, _ *fleet, _ *replica, revoke func()) error {
	revoke()
	return nil
}

// killed kills a replica and starts it again.
func killed(_ *testing.T, f *fleet, r *replica, revoke func()) error {
	r.kill()
	revoke()
	return errors.Join(wait(f.ctx, time.Second), r.start(f.ctx, f.binary))
}

// paused stops a replica with SIGSTOP for longer than D and e, and lets it go on. Requests
// wait for it then, so that it answers them before it has asked the store.
func paused(_ *testing.T, f *fleet, r *replica, revoke func()) error {
	if err := r.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	revoke()
	err := wait(f.ctx, f.engine.policy.pastBounds())
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() { r.fetch(f.ctx) })
		waiting.Go(func() { r.mint(f.ctx) })
	}
	err = errors.Join(err, wait(f.ctx, 100*time.Millisecond), r.signal(syscall.SIGCONT))
	waiting.Wait()
	return err
}

// storeAway takes the store away for this part of D.
func storeAway(part float64) fault {
	return func(t *testing.T, f *fleet, _ *replica, revoke func()) error {
		t.Helper()
		f.store.stop(t)
		revoke()
		err := wait(f.ctx, time.Duration(part*float64(f.engine.policy.staleness)))
		f.store.start(t)
		return err
	}
}

// together has all faults of an engine happen at random times, each replica and the store
// with one at a time, and revokes keys meanwhile.
func together(t *testing.T, f *fleet, _ *replica, _ func()) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, *togetherFor)
	defer cancel()
	var ofStore, ofReplica []fault
	for _, s := range f.engine.scenarios {
		switch s.target {
		case theStore:
			ofStore = append(ofStore, s.fault)
		case oneReplica:
			ofReplica = append(ofReplica, s.fault)
		}
	}
	pause := func() error { return wait(ctx, f.engine.policy.interval/2+rand.N(f.engine.policy.interval)) }
	again := func(faults []fault, r *replica) {
		for pause() == nil {
			if err := faults[rand.N(len(faults))](t, f, r, func() {}); err != nil {
				f.checker.report(err)
			}
		}
	}
	var running sync.WaitGroup
	for _, r := range f.replicas {
		running.Go(func() { again(ofReplica, r) })
	}
	running.Go(func() {
		for pause() == nil {
			if err := f.revoke(f.ctx); err != nil {
				f.checker.report(err)
			}
		}
	})
	again(ofStore, nil) // here, because these may end the test
	running.Wait()
	return nil
}

// cut has nothing pass between a replica and the store, in either direction, for longer
// than D and e. Connections stay open.
func cut(_ *testing.T, f *fleet, r *replica, revoke func()) error {
	return f.disconnect(r, revoke, (*storetest.Proxy).Hang)
}

// refused closes the connections of a replica to the store, and refuses new ones.
func refused(_ *testing.T, f *fleet, r *replica, revoke func()) error {
	return f.disconnect(r, revoke, (*storetest.Proxy).Refuse)
}

func (f *fleet) disconnect(r *replica, revoke func(), how func(*storetest.Proxy)) error {
	for _, p := range r.proxies {
		how(p)
	}
	revoke()
	err := wait(f.ctx, f.engine.policy.pastBounds())
	for _, p := range r.proxies {
		p.Heal()
	}
	return err
}
