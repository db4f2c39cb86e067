//go:build soak

package fleet

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// A fleet on a PostgreSQL that fails over to its standby. The URL of each replica names
// both servers.

func synchronousEngine() engine {
	return engine{
		name: "postgres, synchronous standby", policy: postgresPolicy(),
		open: func(t *testing.T) backend {
			pair := newPostgresPair(t)
			pair.primary.RequireSync(t, true)
			return pair
		},
		scenarios: []scenario{{name: "the standby is promoted after a revocation", outage: outageMaybe, fault: promoted}},
	}
}

func asynchronousEngine() engine {
	return engine{
		name: "postgres, asynchronous standby", policy: postgresPolicy(),
		open:      func(t *testing.T) backend { return newPostgresPair(t) },
		scenarios: []scenario{{name: "the standby is promoted, and lacks a revocation and a rotation", outage: outageAlways, fault: promotedLagging}},
	}
}

// postgresPair is a primary with its standby.
type postgresPair struct{ primary, standby *postgrestest.Server }

func newPostgresPair(t *testing.T) *postgresPair {
	t.Helper()
	primary := postgrestest.Start(t)
	return &postgresPair{primary, primary.Standby(t)}
}

func (p *postgresPair) addresses() []string {
	return []string{p.primary.Address(), p.standby.Address()}
}

func (*postgresPair) framing() storetest.Framing    { return storetest.PostgreSQL }
func (*postgresPair) url(addresses []string) string { return postgresURL(addresses) }
func (p *postgresPair) stop(t *testing.T)           { t.Helper(); p.primary.Kill(t) }
func (p *postgresPair) start(t *testing.T)          { t.Helper(); p.standby.Promote(t) }

// promoted kills the primary as soon as it has committed a revocation, and promotes the
// standby, which has it too.
func promoted(t *testing.T, f *fleet, _ *replica, revoke func()) error {
	t.Helper()
	revoke()
	if err := f.awaitRevocation(); err != nil {
		return err
	}
	f.store.stop(t)
	f.store.start(t)
	return nil
}

func (f *fleet) awaitRevocation() error {
	if !until(f.ctx, time.Minute, func() bool { return f.checker.current().revocations > 0 }) {
		return errors.New("the key was not revoked before the primary is lost")
	}
	return nil
}

// promotedLagging promotes a standby that was away while a key was revoked and another one
// began to sign. No replica may take that older keyset: all of them stop. An operator
// accepts it on a machine that has seen the newest keyset, which puts back what is missing.
func promotedLagging(t *testing.T, f *fleet, _ *replica, revoke func()) error {
	t.Helper()
	pair := f.store.(*postgresPair) // the scenario is of this engine
	pair.standby.Kill(t)
	revoke()
	if err := f.awaitRevocation(); err != nil {
		return err
	}
	f.awaitRotation(t)
	pair.primary.Kill(t)
	pair.standby.Start(t)
	pair.standby.Promote(t)

	if err := wait(f.ctx, f.engine.policy.pastBounds()); err != nil {
		return err
	}
	for _, r := range f.replicas {
		if status, _, body, err := r.ask(f.ctx, http.MethodGet, "/jwks"); err != nil || status != http.StatusServiceUnavailable {
			return fmt.Errorf("replica %s answers %d with the older keyset: %s, %v", r.name, status, body, err)
		}
	}
	machine := commandLine{f.binary, f.replicas[0].environ}
	if _, code, err := machine.run(f.ctx, "keys", "list"); code != exitRefused {
		return fmt.Errorf("keys list exits with %d, and not with %d: %v", code, exitRefused, err)
	}
	_, _, err := machine.run(f.ctx, "keys", "accept-restore")
	f.checker.count(func(r *row) { r.note = "keys accept-restore" })
	return err
}
