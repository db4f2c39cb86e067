//go:build soak

package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func postgresPolicy() policy {
	return policy{interval: 10 * time.Second, staleness: 2500 * time.Millisecond, maxAge: time.Second, skew: time.Second, leeway: time.Second}
}

// postgresEngine is three replicas on one PostgreSQL.
func postgresEngine() engine {
	return engine{
		name:   "postgres",
		policy: postgresPolicy(),
		open:   func(t *testing.T) backend { return postgresServer{postgrestest.Start(t)} },
		scenarios: []scenario{
			{name: "no fault", fault: none},
			{name: "a replica is killed", short: true, target: oneReplica, fault: killed},
			{name: "a replica is stopped for longer than D", target: oneReplica, outage: outageMaybe, fault: paused},
			{name: "a replica is cut from the store", short: true, target: oneReplica, outage: outageAlways, fault: cut},
			{name: "a replica's connections are refused", target: oneReplica, outage: outageAlways, fault: refused},
			{name: "a replica's clock is behind by more than e", target: oneReplica, fault: clockOff(false)},
			{name: "a replica's clock is ahead by more than e", target: oneReplica, fault: clockOff(true)},
			{name: "the store is killed and starts again", target: theStore, outage: outageMaybe, fault: storeAway(0)},
			{name: "the store hangs for less than D", target: theStore, fault: postgresHangs(0.4)},
			{name: "the store is away for longer than D", short: true, target: theStore, outage: outageAlways, fault: storeAway(2)},
			{name: "the store hangs for longer than D", target: theStore, outage: outageAlways, fault: postgresHangs(2)},
			{name: "all together", target: everything, outage: outageMaybe, fault: together},
		},
	}
}

// postgresServer is a server without a standby. The store is away while all its processes
// are killed.
type postgresServer struct{ *postgrestest.Server }

func (s postgresServer) addresses() []string        { return []string{s.Address()} }
func (s postgresServer) framing() storetest.Framing { return storetest.PostgreSQL }
func (s postgresServer) stop(t *testing.T)          { t.Helper(); s.Kill(t) }
func (s postgresServer) start(t *testing.T)         { t.Helper(); s.Start(t) }

func (postgresServer) url(addresses []string) string { return postgresURL(addresses) }

func postgresURL(addresses []string) string {
	return "postgres://postgres@" + strings.Join(addresses, ",") + "/postgres?sslmode=disable"
}

// postgresHangs stops every process of the server for this part of D, so that connections
// stay open and nothing answers.
func postgresHangs(part float64) fault {
	return func(t *testing.T, f *fleet, _ *replica, revoke func()) error {
		t.Helper()
		server := f.store.(postgresServer) // the scenario is of this engine
		server.Pause(t)
		revoke()
		err := wait(f.ctx, time.Duration(part*float64(f.engine.policy.staleness)))
		server.Resume(t)
		return err
	}
}
