//go:build soak

package fleet

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// sqliteEngine is three processes on one file. Two faults of the network engines do not
// exist here: no replica can be cut from a file, and one machine has one clock.
func sqliteEngine() engine {
	return engine{
		name:   "sqlite",
		policy: policy{interval: 10 * time.Second, staleness: 2500 * time.Millisecond, maxAge: time.Second, skew: time.Second, leeway: time.Second},
		open: func(t *testing.T) backend {
			return sqliteFile(filepath.Join(t.TempDir(), "keyset.db"))
		},
		scenarios: []scenario{
			{name: "no fault", fault: none},
			{name: "a replica is killed", short: true, target: oneReplica, fault: killed},
			{name: "a replica is stopped for longer than D", target: oneReplica, outage: outageMaybe, fault: paused},
			{name: "the store is away for less than D", target: theStore, fault: storeAway(0.5)},
			{name: "the store is away for longer than D", short: true, target: theStore, outage: outageAlways, fault: storeAway(2)},
			{name: "all together", target: everything, outage: outageMaybe, fault: together},
		},
	}
}

// sqliteFile is the path of the store. The store is away while the file has another name,
// as if its volume were not mounted.
type sqliteFile string

func (sqliteFile) addresses() []string        { return nil }
func (sqliteFile) framing() storetest.Framing { return nil }
func (f sqliteFile) url(_ []string) string    { return "sqlite:" + string(f) }

func (f sqliteFile) stop(t *testing.T) {
	t.Helper()
	if err := os.Rename(string(f), string(f)+".away"); err != nil {
		t.Fatal(err)
	}
}

func (f sqliteFile) start(t *testing.T) {
	t.Helper()
	if err := os.Rename(string(f)+".away", string(f)); err != nil {
		t.Fatal(err)
	}
}
