package storetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

const (
	// watchTime is how long the messages of a Wait are counted.
	watchTime = 2 * time.Second

	// mostMessages is how many messages a Wait may send in watchTime, and how many
	// connections it may open: a few statements a second, of about ten messages each.
	mostMessages = 100
)

// testLostHints breaks the connections of a Wait, so that its hint may be lost. A reader
// that polls still sees the change, and the next Wait works.
func testLostHints(t *testing.T, engine Engine) {
	for name, breakAll := range map[string]func(*Proxy){
		"Cut": (*Proxy).Cut, "Refuse": (*Proxy).Refuse, "Hang": (*Proxy).Hang, "HangOpen": (*Proxy).HangOpen,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waitOperation := faultOperation{name: "Wait", created: true}
			r := newFaultRun(t, newFaultyStore(t, engine, waitOperation), waitOperation)
			ctx, cancel := context.WithTimeout(t.Context(), recovery)
			defer cancel()
			waited := make(chan error, 1)
			go func() { waited <- r.handle.Wait(ctx, r.before.Version) }()
			untilQuiet(ctx, r.proxy)
			breakAll(r.proxy)
			c := r.tracker.next(r.before)
			r.reader.swap(c)
			if name == "Refuse" || name == "Hang" {
				waitUntil(ctx, time.Now().Add(faultTimeout))
				r.proxy.Heal()
			}
			r.poll(ctx, c)
			cancel()
			if err := <-waited; isContract(err) {
				t.Errorf("Wait = %v", err)
			}
			next, cancel := context.WithTimeout(t.Context(), recovery)
			defer cancel()
			if err := r.waitFor(next, r.before.Version); err != nil {
				t.Errorf("the next Wait = %v, want nil: the keyset is at another version", err)
			}
			r.tracker.recover(r.handle, r.reader)
		})
	}
}

// poll reads once a second until the handle sees the change.
func (r *faultRun) poll(ctx context.Context, c keys.Change) {
	r.t.Helper()
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		record, err := r.handle.Load(attempt)
		switch {
		case err == nil && record.Version == c.NewVersion():
			cancel()
			return
		case err == nil && record.Version != r.before.Version:
			r.t.Fatalf("Load = version %d, want %d", record.Version, c.NewVersion())
		case err == nil:
			r.t.Errorf("Load = version %d after the change had returned", record.Version)
		}
		r.wantStoreError("Load", err)
		<-attempt.Done() // once a second
		cancel()
		if ctx.Err() != nil {
			r.t.Fatalf("a reader that polls does not see the change within %v: %v", recovery, err)
		}
	}
}

// waitFor calls Wait until it returns no error.
func (r *faultRun) waitFor(ctx context.Context, version uint64) error {
	for {
		err := r.handle.Wait(ctx, version)
		if err == nil || ctx.Err() != nil {
			return err
		}
		r.wantStoreError("Wait", err)
		pause(ctx)
	}
}

// untilQuiet waits until a proxy has forwarded nothing for a while.
func untilQuiet(ctx context.Context, p *Proxy) {
	for last := -1; ctx.Err() == nil; {
		toServer, toClient, _ := p.Count()
		if toServer+toClient == last {
			return
		}
		last = toServer + toClient
		waitUntil(ctx, time.Now().Add(faultTimeout/10))
	}
}

// testNoTightLoop counts what one Wait sends while nothing changes, with and without a
// server that can be reached.
func testNoTightLoop(t *testing.T, engine Engine) {
	for name, breakAll := range map[string]func(*Proxy){
		"Healthy": func(*Proxy) {}, "Cut": (*Proxy).Cut, "Refuse": (*Proxy).Refuse, "Hang": (*Proxy).Hang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waitOperation := faultOperation{name: "Wait", created: true}
			r := newFaultRun(t, newFaultyStore(t, engine, waitOperation), waitOperation)
			ctx, cancel := context.WithTimeout(t.Context(), watchTime)
			defer cancel()
			var group sync.WaitGroup
			returns := 0
			group.Go(func() {
				for ctx.Err() == nil {
					err := r.handle.Wait(ctx, r.before.Version)
					r.wantStoreError("Wait", err)
					returns++
					waitUntil(ctx, time.Now().Add(100*time.Millisecond)) // as a Ring does after an early return
				}
			})
			breakAll(r.proxy)
			group.Wait()
			toServer, toClient, connections := r.proxy.Count()
			if toServer > mostMessages || toClient > mostMessages || connections > mostMessages {
				t.Errorf("in %v, Wait returned %d times, and made %d connections with %d messages to the server and %d to the client",
					watchTime, returns, connections, toServer, toClient)
			}
			r.proxy.Heal()
			r.tracker.recover(r.handle, r.reader)
		})
	}
}

// testFaultyHistory records what many goroutines do over connections that fail at random,
// while others have connections that do not. The history is linearizable.
func testFaultyHistory(t *testing.T, engine Engine) {
	const proxies = 3
	f := newFixture(t, engine)
	var stores []keys.Store
	ctx, stop := context.WithCancel(t.Context())
	var chaos sync.WaitGroup
	defer chaos.Wait()
	defer stop()
	for range proxies {
		p := NewProxy(t, f.Network.Network, f.Network.Address, f.Network.Framing)
		h := f.openThrough(p)
		stores = append(stores, h, h)
		chaos.Go(func() { breakAtRandom(ctx, p) })
	}
	stores = append(stores, f.open(), f.open()) // the last one reads everything at the end
	hi, err := recordHistory(t.Context(), stores, historyOperations(), faultTimeout/2)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations, %d swaps with an unknown outcome", len(hi.operations), len(hi.unknown))
	if len(hi.unknown) == 0 {
		t.Error("no swap has an unknown outcome: the faults test nothing")
	}
	hi.check(t)
}

// breakAtRandom orders one fault after another until ctx is done.
func breakAtRandom(ctx context.Context, p *Proxy) {
	for ctx.Err() == nil {
		fired := p.Order(Fault{
			Direction: Direction(rand.N(2)),      //nolint:gosec // a workload
			Message:   1 + rand.N(12),            //nolint:gosec // a workload
			Action:    Action(rand.N(int(Call))), //nolint:gosec // a workload
			Delay:     rand.N(faultTimeout / 4),  //nolint:gosec // a workload
		})
		select {
		case <-ctx.Done():
		case <-fired:
		case <-time.After(faultTimeout):
		}
	}
}
