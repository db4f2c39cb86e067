//go:build soak

package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/etcdcluster"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// etcdEngine is three replicas on a cluster of three members. Its e is at least 8 s, so
// that keys rotate more slowly than on the other engines. It has no clock of its own: a
// replica whose clock is ahead is not found out before another process is behind the stamps
// that it has written.
func etcdEngine() engine {
	return engine{
		name:   "etcd",
		policy: policy{interval: 24 * time.Second, staleness: 4 * time.Second, maxAge: 2 * time.Second, skew: 8 * time.Second, leeway: 2 * time.Second},
		open: func(t *testing.T) backend {
			return &etcdMembers{Cluster: etcdcluster.Start(t, etcdcluster.Options{})}
		},
		scenarios: []scenario{
			{name: "no fault", fault: none},
			{name: "a replica is killed", target: oneReplica, fault: killed},
			{name: "a replica is stopped for longer than D", target: oneReplica, outage: outageMaybe, fault: paused},
			{name: "a replica is cut from the store", short: true, target: oneReplica, outage: outageAlways, fault: cut},
			{name: "a replica's connections are refused", target: oneReplica, outage: outageAlways, fault: refused},
			{name: "a replica's clock is behind by more than e", target: oneReplica, fault: clockOff(false)},
			{name: "the leader is killed", short: true, target: theStore, outage: outageMaybe, fault: leaderKilled},
			{name: "the store hangs for less than D", target: theStore, fault: quorumFrozen(0.25)},
			{name: "the store hangs for longer than D", target: theStore, outage: outageAlways, fault: quorumFrozen(2)},
			{name: "quorum is lost for longer than D", short: true, target: theStore, outage: outageAlways, fault: storeAway(2)},
			{name: "all together", target: everything, outage: outageMaybe, fault: together},
		},
	}
}

// etcdMembers is a cluster. It is away while two of its three members are killed, so that
// it has no quorum.
type etcdMembers struct {
	*etcdcluster.Cluster
	lost []*etcdcluster.Member
}

func (c *etcdMembers) addresses() []string      { return c.Endpoints() }
func (*etcdMembers) framing() storetest.Framing { return storetest.HTTP2 }

func (*etcdMembers) url(addresses []string) string {
	return "etcd://" + strings.Join(addresses, ",") + "/fleet"
}

// majority is the leader and one more member.
func (c *etcdMembers) majority() []*etcdcluster.Member {
	leader := c.Leader()
	for _, m := range c.Members() {
		if m != leader {
			return []*etcdcluster.Member{leader, m}
		}
	}
	return nil
}

func (c *etcdMembers) stop(*testing.T) {
	c.lost = c.majority()
	for _, m := range c.lost {
		m.Kill()
	}
}

func (c *etcdMembers) start(*testing.T) {
	for _, m := range c.lost {
		m.Start()
	}
	for _, m := range c.lost {
		m.WaitReady()
	}
}

// leaderKilled kills the leader of the cluster. The others elect another one.
func leaderKilled(_ *testing.T, f *fleet, _ *replica, revoke func()) error {
	leader := f.store.(*etcdMembers).Leader() // the scenario is of this engine
	leader.Kill()
	revoke()
	err := wait(f.ctx, f.engine.policy.staleness)
	leader.Start()
	leader.WaitReady()
	return err
}

// quorumFrozen stops two members for this part of D, so that connections stay open and
// nothing can be read or written.
func quorumFrozen(part float64) fault {
	return func(_ *testing.T, f *fleet, _ *replica, revoke func()) error {
		members := f.store.(*etcdMembers).majority() // the scenario is of this engine
		for _, m := range members {
			m.Freeze()
		}
		revoke()
		err := wait(f.ctx, time.Duration(part*float64(f.engine.policy.staleness)))
		for _, m := range members {
			m.Thaw()
		}
		return err
	}
}
