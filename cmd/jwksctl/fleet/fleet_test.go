//go:build soak

// Package fleet runs three real servers on each engine, and has them and their store
// fail in every way that a fleet must survive. `make fleet` runs it.
//
//	replica 0 ── proxy ──┐                 operator: keys revoke, keys list
//	replica 1 ── proxy ──┼── store              │
//	replica 2 ── proxy ──┘     └────────────────┘
//	   │
//	   └── tokens and JWK Sets ──> checker
//
// Each replica and the operator have a state folder of their own, as on a machine of
// their own. SQLite is for one machine: there they share the folder, and nothing is
// between them and the file.
//
// Keys rotate as fast as the engine allows. All replicas mint tokens all the time. The
// checker keeps each JWK Set for as long as any compliant cache may, and holds every valid
// token against all of them. In each scenario the key that signs is revoked while the
// fault lasts. A scenario ends when every replica is ready again, another key signs, and
// no cache can have the revoked key any more.
package fleet

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

var togetherFor = flag.Duration("fleet.together", 5*time.Minute, "how long all faults happen at the same time")

// engine is a store engine under test.
type engine struct {
	name      string
	policy    policy
	open      func(t *testing.T) backend
	scenarios []scenario
}

// policy has the settings of the keyset that the harness has to know.
type policy struct {
	interval  time.Duration // R, as short as D, M and e allow
	staleness time.Duration // D
	maxAge    time.Duration // M
	skew      time.Duration // e
	leeway    time.Duration // L
}

// pastBounds is a little longer than any process may act on what it has confirmed.
func (p policy) pastBounds() time.Duration { return p.staleness + p.skew + 2*time.Second }

func (p policy) environ() []string {
	return []string{
		"JWKSCTL_ALGORITHM=ES256", "JWKSCTL_ROTATION_INTERVAL=" + p.interval.String(), "JWKSCTL_MAX_STALENESS=" + p.staleness.String(),
		"JWKSCTL_JWKS_MAX_AGE=" + p.maxAge.String(), "JWKSCTL_CLOCK_SKEW=" + p.skew.String(), "JWKSCTL_LEEWAY=" + p.leeway.String(),
	}
}

// backend is a running store of an engine.
type backend interface {
	addresses() []string           // of its servers; none if it is a file
	framing() storetest.Framing    // of their protocol
	url(addresses []string) string // the store's URL, if its servers are at these addresses
	stop(t *testing.T)             // takes the store away
	start(t *testing.T)            // brings it back
}

// allEngines returns the engines with their scenarios, or with those of the short form.
func allEngines(short bool) []engine {
	engines := []engine{sqliteEngine(), postgresEngine(), synchronousEngine(), asynchronousEngine(), etcdEngine()}
	if !short {
		return engines
	}
	for i := range engines {
		engines[i].scenarios = slices.DeleteFunc(engines[i].scenarios, func(s scenario) bool { return !s.short })
	}
	return slices.DeleteFunc(engines, func(e engine) bool { return len(e.scenarios) == 0 })
}

// TestFleet prints its table last. `-run 'TestFleet/etcd/the leader is killed'` runs one
// scenario.
func TestFleet(t *testing.T) {
	binary := build(t)
	wrongClock := sync.OnceValue(func() string { return buildWithWrongClock(t) })
	engines := allEngines(testing.Short())
	results := &table{}
	t.Cleanup(func() { t.Logf("\n%s", results.text(engines)) })
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, binary, wrongClock, e)
			for _, s := range e.scenarios {
				ended := true
				t.Run(s.name, func(t *testing.T) {
					ended = false // a scenario that is aborted leaves the fleet broken
					results.add(f.play(t, s))
					ended = true
				})
				if !ended {
					return
				}
			}
		})
	}
}

// build builds jwksctl and returns its path.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwksctl")
	args := append([]string{"build", "-o", path}, flags...)
	if out, err := exec.CommandContext(t.Context(), "go", append(args, "..")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// fleet is three replicas on one store.
type fleet struct {
	ctx        context.Context // of its processes
	engine     engine
	store      backend
	binary     string
	wrongClock func() string // builds a binary whose clock can be wrong, which takes minutes the first time
	replicas   []*replica
	operator   commandLine
	checker    *checker
}

// newFleet starts a fleet that mints tokens until the end of the test.
func newFleet(t *testing.T, binary string, wrongClock func() string, e engine) *fleet {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	f := &fleet{ctx: ctx, engine: e, store: e.open(t), binary: binary, wrongClock: wrongClock, checker: newChecker(e.policy.leeway)}
	state := machines{t.TempDir()}
	f.operator = commandLine{binary, state.environ(t, "operator", f.store.url(f.store.addresses()))}
	f.checker.begin(e.name, "the start")
	for i := range 3 {
		name := fmt.Sprint(i)
		proxies, addresses := proxiesTo(t, f.store)
		environ := append(state.environ(t, name, f.store.url(addresses)), e.policy.environ()...)
		r := newReplica(name, state.root, append(environ, "JWKSCTL_ISSUER="+issuer), f.checker)
		r.proxies = proxies
		f.replicas = append(f.replicas, r)
		if err := r.start(ctx, binary); err != nil {
			t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	for _, r := range f.replicas {
		running.Go(func() { every(ctx, 40*time.Millisecond, func() { r.mint(ctx) }) })
		running.Go(func() { every(ctx, 100*time.Millisecond, func() { r.fetch(ctx) }) })
	}
	running.Go(func() { every(ctx, 100*time.Millisecond, f.checker.check) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		for _, r := range f.replicas {
			r.kill()
			r.checkLog(t)
		}
	})
	f.awaitNewKey(t, "")
	return f
}

// proxiesTo starts a proxy in front of each server of a store.
func proxiesTo(t *testing.T, store backend) (proxies []*storetest.Proxy, addresses []string) {
	t.Helper()
	for _, address := range store.addresses() {
		p := storetest.NewProxy(t, "tcp", address, store.framing())
		proxies, addresses = append(proxies, p), append(addresses, p.Addr())
	}
	return proxies, addresses
}
