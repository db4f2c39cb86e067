//go:build unix

package postgres

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

// waiter is a store with a listener, and the number of times that its Wait read the version.
type waiter struct {
	*Store
	reads atomic.Int32
}

// newWaiter opens a store and waits until its listener works.
func newWaiter(t *testing.T, url string) *waiter {
	t.Helper()
	s, h := openHooked(t, url)
	w := &waiter{Store: s}
	h.set(func(_ *pgx.Conn, statement string) {
		if strings.Contains(statement, "coalesce((SELECT version") {
			w.reads.Add(1)
		}
	})
	return w
}

// wait calls Wait in the background.
func (w *waiter) wait(t *testing.T, version uint64) <-chan error {
	result := make(chan error, 1)
	go func() { result <- w.Wait(t.Context(), version) }()
	return result
}

// waitUntil waits until a condition is true.
func waitUntil(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("this does not become true: %s", what)
		}
	}
}

// waitForListener waits until the test of the listener has succeeded n times.
func (w *waiter) waitForListener(t *testing.T, n int32) {
	t.Helper()
	waitUntil(t, "the listener works", func() bool { return w.listened.Load() >= n })
}

// A notification ends Wait, and no statement is needed for that. It also works on a new
// connection of the listener.
func TestNotificationEndsWait(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	writer, w := openStore(t, url), newWaiter(t, url)
	swap(t, writer, keys.Change{Document: []byte("one")})
	for version := uint64(1); version < 4; version++ {
		wantVersion(t, w.Store, version)
		result := w.wait(t, version)
		if version > 1 {
			server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()")
		}
		w.waitForListener(t, int32(version))
		wantVersion(t, w.Store, version) // the next poll is pollInterval from now
		reads := w.reads.Load()
		swap(t, writer, keys.Change{Version: version, Document: []byte("x")})
		if err := <-result; err != nil {
			t.Errorf("Wait = %v", err)
		}
		if n := w.reads.Load() - reads; n > 0 {
			t.Errorf("Wait read the version %d times, although a notification was sent", n)
		}
	}
}

// A change without a notification ends Wait too.
func TestWaitPolls(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	w := newWaiter(t, url)
	swap(t, w.Store, keys.Change{Document: []byte("one")})
	result := w.wait(t, 1)
	w.waitForListener(t, 1)
	server.Exec(t, databaseName(t, url), "UPDATE jwksctl.keyset SET version = 2")
	if err := <-result; err != nil {
		t.Errorf("Wait = %v", err)
	}
}

// Other notifications on the channel do not end Wait.
func TestForeignNotifications(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	w := newWaiter(t, url)
	swap(t, w.Store, keys.Change{Document: []byte("one")})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- w.Wait(ctx, 1) }()
	w.waitForListener(t, 1)
	for _, payload := range []string{"", "x", "-1", "1", strings.Repeat("9", 30)} {
		server.Exec(t, databaseName(t, url), "SELECT pg_notify('jwksctl_keyset', '"+payload+"')")
	}
	select {
	case err := <-result:
		t.Fatalf("Wait = %v, although no notification names another version", err)
	case <-time.After(300 * time.Millisecond): // they have arrived
	}
	server.Exec(t, databaseName(t, url), "SELECT pg_notify('jwksctl_keyset', '7')")
	if err := <-result; err != nil {
		t.Errorf("Wait = %v", err)
	}
	if version, _, _, _ := w.hint.get(); version != 7 {
		t.Errorf("Wait ended at version %d, want the last notification", version)
	}
}

type plainSealer struct{}

func (plainSealer) Names() []string                                    { return []string{"plain"} }
func (plainSealer) Reload(context.Context) error                       { return nil }
func (plainSealer) Source() string                                     { return "this test" }
func (plainSealer) Seal(_ string, plaintext, _ []byte) ([]byte, error) { return plaintext, nil }
func (plainSealer) Open(_ string, sealed, _ []byte) ([]byte, error)    { return sealed, nil }

// createRing creates a keyset with a ring on which no step falls due.
func createRing(t *testing.T, o keys.Options) *keys.Ring {
	t.Helper()
	o.Sealer = plainSealer{}
	p := keystest.Policy(24 * time.Hour)
	p.Algorithm, p.KeySize, p.ExpiredTokens = jwk.ES256, 0, false
	ring, err := keys.Create(t.Context(), o, p)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// The figure of the README: an idle replica sends at most two statements a second.
func TestStatementsOfAnIdleReplica(t *testing.T) {
	server := postgrestest.Start(t, "log_statement = all", "log_line_prefix = 'app=%a '")
	direct := server.CreateDatabase(t)
	for name, url := range map[string]string{"direct": direct, "pooler": startPooler(t, server, databaseName(t, direct))} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, url+"&schema="+name+"&application_name="+name)
			ring := createRing(t, keys.Options{Store: s})
			ctx, cancel := context.WithCancel(t.Context())
			finished := make(chan struct{})
			go func() {
				defer close(finished)
				ring.Run(ctx)
			}()
			statements := func() int {
				return strings.Count(server.Log(), "app="+name+" LOG:  execute") + strings.Count(server.Log(), "app="+name+" LOG:  statement")
			}
			loads := func() int { return strings.Count(server.Log(), `LEFT JOIN "`+name+`".keyset`) }
			waitUntil(t, "the replica is idle", func() bool { return s.listened.Load() > 0 || s.pooled.Load() })
			first, sent, start := loads(), statements(), time.Now()
			waitUntil(t, "the replica has read eight times", func() bool { return loads() >= first+8 })
			rate := float64(statements()-sent) / time.Since(start).Seconds()
			cancel()
			<-finished
			t.Logf("%.2f statements a second", rate)
			if rate > 2 {
				t.Errorf("an idle replica sends %.2f statements a second, want at most 2", rate)
			}
		})
	}
}

// The version of the row is lower than before: an operator has restored a backup.
func TestRingSeesAVersionThatRegresses(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	s := openStore(t, url)
	ring := createRing(t, keys.Options{Store: s})
	if err := ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := databaseName(t, url)
	server.Exec(t, name, "CREATE TABLE backup AS SELECT * FROM jwksctl.keyset")
	if _, err := ring.SetPolicy(t.Context(), keys.Settings{RotationInterval: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, name, "UPDATE jwksctl.keyset SET version = backup.version, document = backup.document FROM backup")
	err := ring.Refresh(t.Context())
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardRestored {
		t.Errorf("Refresh = %v, want a refusal of a restored store", err)
	}
}
