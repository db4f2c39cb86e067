package etcdtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/etcd"
	"github.com/jwksctl/jwksctl/pkg/store/etcdcluster"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// history is which document each version was seen to have.
type history struct {
	t         *testing.T
	mu        sync.Mutex
	documents map[uint64]string
	newest    uint64
	committed int // swaps that succeeded
}

// saw records a document. No version may have two.
func (h *history) saw(version uint64, document string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.documents[version]; ok && old != document {
		h.t.Errorf("version %d has the documents %q and %q", version, old, document)
	}
	h.documents[version] = document
	h.newest = max(h.newest, version)
}

func (h *history) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.committed
}

// write swaps until ctx ends. Each document exists once.
func (h *history) write(ctx context.Context, s *etcd.Store, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		record, err := s.Load(ctx)
		if err != nil {
			if _, ok := errors.AsType[*keys.StoreError](err); !ok {
				h.t.Errorf("Load = %v (%T), want a StoreError", err, err)
			}
			continue
		}
		h.saw(record.Version, string(record.Document))
		document := fmt.Sprintf("document %d of writer %d", n, writer)
		c := change(record.Version, document)
		c.Deadline = time.Now().Add(4 * time.Second)
		if err := s.Swap(ctx, c); err == nil {
			h.saw(record.Version+1, document)
			h.mu.Lock()
			h.committed++
			h.mu.Unlock()
		}
	}
}

// The leader is killed again and again while three processes write. No change that
// succeeded is lost, no version has two documents, and the writers go on by themselves.
func TestLeaderIsKilledDuringSwaps(t *testing.T) {
	cluster := three(t)
	url := cluster.URL("/p")
	swap(t, open(t, url), change(0, "one"))
	h := &history{t: t, documents: map[uint64]string{}}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for i := range 3 {
		s := open(t, url)
		writers.Go(func() { h.write(ctx, s, i) })
	}
	for range 3 {
		before := h.count()
		eventually(t, "ten more changes", func() bool { return h.count() >= before+10 })
		leader := cluster.Leader()
		leader.Kill()
		before = h.count()
		eventually(t, "ten changes without the old leader", func() bool { return h.count() >= before+10 })
		leader.Start()
		leader.WaitReady()
	}
	stop()
	writers.Wait()

	record, err := open(t, url).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.saw(record.Version, string(record.Document))
	if record.Version < h.newest || record.Version < uint64(h.committed)+1 {
		t.Errorf("the store is at version %d, after %d changes and version %d", record.Version, h.committed, h.newest)
	}
	t.Logf("%d changes succeeded, the last version is %d", h.committed, record.Version)
}

// Without a quorum every call fails with a clear error. With it, everything works again,
// and the store has either the change that failed or not.
func TestQuorumIsLostAndRegained(t *testing.T) {
	cluster := three(t)
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	hint := waiting(t, s, 1)
	leader := cluster.Leader()
	for _, m := range cluster.Members() {
		if m != leader {
			m.Kill()
		}
	}
	unclear := change(1, "two")
	unclear.Deadline = time.Now().Add(4 * time.Second)
	if err := s.Swap(t.Context(), unclear); err == nil || errors.Is(err, keys.ErrConflict) {
		t.Errorf("Swap without a quorum = %v", err)
	}
	eventually(t, "the leader steps down", func() bool {
		_, err := s.Load(t.Context())
		failed, ok := errors.AsType[*keys.StoreError](err)
		return ok && failed.Problem == "the store has no leader"
	})
	err := receive(t, hint) // Wait may have read before the leader stepped down
	failed, ok := errors.AsType[*keys.StoreError](err)
	if !ok || failed.Problem != "the store has no leader" && failed.Problem != "the store does not answer" {
		t.Errorf("Wait = %v", err)
	}
	_, err = s.PrivateKey(t.Context(), "a")
	wantProblem(t, err, "the store has no leader")
	wantProblem(t, s.Swap(t.Context(), change(1, "two")), "the store has no leader")

	for _, m := range cluster.Members() {
		if m != leader {
			m.Start()
		}
	}
	var record keys.Record
	eventually(t, "a read", func() bool { record, err = s.Load(t.Context()); return err == nil })
	if record.Version != 1 && (record.Version != 2 || string(record.Document) != "two") {
		t.Errorf("the store is at version %d, %q", record.Version, record.Document)
	}
	eventually(t, "a change", func() bool {
		return s.Swap(t.Context(), change(record.Version, "three")) == nil
	})
	wantKeyset(t, s, record.Version+1, "three")
}

// A change that the leader wrote to its log just before the quorum was lost is an unclear
// error. It can become visible when the quorum is back, after its deadline: this is what
// a late landing is.
func TestChangeLandsWhenTheQuorumIsBack(t *testing.T) {
	cluster := three(t)
	direct := open(t, cluster.URL("/p"))
	swap(t, direct, change(0, "document 1"))
	for version := uint64(1); version < 10; {
		landed, err := lateLanding(t, cluster, version)
		failed, ok := errors.AsType[*keys.StoreError](err)
		if !ok || errors.Is(err, keys.ErrTooLate) || errors.Is(err, keys.ErrConflict) {
			t.Fatalf("Swap = %v (%T), want an unclear StoreError", err, err)
		}
		// If another member has become the leader, its log lacks the change. Otherwise the
		// change may become visible even after the first read.
		if err := direct.Swap(t.Context(), change(version, "another document")); landed || errors.Is(err, keys.ErrConflict) {
			wantKeyset(t, direct, version+1, "lands late")
			t.Logf("after %q, version %d became visible", failed.Problem, version+1)
			return
		} else if err != nil {
			t.Fatal(err)
		}
		version++
	}
	t.Error("no change landed late")
}

// lateLanding makes a change while the followers freeze at the moment when its request
// arrives, until after its deadline. It reports whether the change is made in the end.
func lateLanding(t *testing.T, cluster *etcdcluster.Cluster, version uint64) (landed bool, err error) {
	t.Helper()
	leader := cluster.Leader()
	followers := slices.DeleteFunc(slices.Clone(cluster.Members()), func(m *etcdcluster.Member) bool { return m == leader })
	proxy := storetest.NewProxy(t, "tcp", leader.Endpoint(), storetest.HTTP2)
	s := open(t, "etcd://"+proxy.Addr()+"/p")
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := change(version, "lands late")
	isChange := contains("lands late")
	proxy.Order(storetest.Fault{Message: 2, Action: storetest.CutBefore, Match: func(message []byte) bool {
		if !isChange(message) {
			return false
		}
		for _, m := range followers {
			m.Freeze()
		}
		return true // the first message that matches is forwarded
	}})
	c.Deadline = time.Now().Add(500 * time.Millisecond)
	err = s.Swap(t.Context(), c)
	if time.Now().Before(c.Deadline) {
		t.Errorf("Swap returned %v before its deadline", err)
	}
	for _, m := range followers {
		m.Thaw()
	}
	eventually(t, "a read", func() bool {
		record, err := s.Load(t.Context())
		landed = err == nil && record.Version == version+1
		return err == nil
	})
	return landed, err
}

// A frozen member keeps its connections and answers nothing. Reads go to the others.
func TestFrozenMember(t *testing.T) {
	cluster := three(t)
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	for range 6 { // connect to all members
		wantKeyset(t, s, 1, "one")
	}
	leader := cluster.Leader()
	for _, m := range cluster.Members() {
		if m != leader {
			m.Freeze()
			break
		}
	}
	for range 6 {
		start := time.Now()
		wantKeyset(t, s, 1, "one")
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("a read with a frozen member took %v", took)
		}
	}
}

// A frozen leader is replaced, and a read waits for that.
func TestFrozenLeader(t *testing.T) {
	cluster := three(t)
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	leader := cluster.Leader()
	leader.Freeze()
	eventually(t, "a change under the new leader", func() bool {
		c := change(1, "two")
		c.Deadline = time.Now().Add(4 * time.Second)
		if err := s.Swap(t.Context(), c); err == nil || errors.Is(err, keys.ErrConflict) {
			return true
		}
		return false
	})
	wantKeyset(t, s, 2, "two")
	leader.Thaw() // its old state is not served: reads are linearizable
	single := open(t, "etcd://"+leader.Endpoint()+"/p")
	eventually(t, "the old leader answers", func() bool {
		record, err := single.Load(t.Context())
		if err == nil && record.Version != 2 {
			t.Fatalf("the old leader served version %d", record.Version)
		}
		return err == nil
	})
}

// Every member is killed. The keyset is there when they are back.
func TestAllMembersRestart(t *testing.T) {
	cluster := three(t)
	s := open(t, cluster.URL("/p"))
	c := change(0, "one")
	c.Put = map[string][]byte{"a": []byte("key a")}
	swap(t, s, c)
	for _, m := range cluster.Members() {
		m.Kill()
	}
	_, err := s.Load(t.Context())
	wantProblem(t, err, "the store does not answer")
	wantProblem(t, s.Swap(t.Context(), change(1, "no")), "the store does not answer")
	for _, m := range cluster.Members() {
		m.Start()
	}
	eventually(t, "a read", func() bool { _, err := s.Load(t.Context()); return err == nil })
	wantKeyset(t, s, 1, "one")
	if key, err := s.PrivateKey(t.Context(), "a"); err != nil || string(key) != "key a" {
		t.Errorf("PrivateKey = %q, %v", key, err)
	}
}

// A connection that is cut before the answer makes an unclear error. The client does not
// send the transaction again: the second one would find that the first has changed the
// keyset, and a change that was made would look like a conflict.
func TestTransactionIsNotRepeated(t *testing.T) {
	cluster := single(t)
	proxy := storetest.NewProxy(t, "tcp", cluster.Endpoints()[0], storetest.HTTP2)
	s, direct := open(t, "etcd://"+proxy.Addr()+"/p"), open(t, cluster.URL("/p"))
	swap(t, direct, change(0, "document 1"))
	for version := uint64(1); version < 5; version++ {
		eventually(t, "a read", func() bool { _, err := s.Load(t.Context()); return err == nil })
		fired := proxy.Order(storetest.Fault{ // the first answer is that of the read
			Direction: storetest.ToClient, Message: 2, Action: storetest.CutBefore, Match: isData,
		})
		document := fmt.Sprintf("document %d", version+1)
		wantProblem(t, s.Swap(t.Context(), change(version, document)), "the store does not answer")
		<-fired
		wantKeyset(t, direct, version+1, document)
	}
}

// isData selects the frames of HTTP/2 that carry content.
func isData(frame []byte) bool { return frame[3] == 0 }

// A context that ends is reported as such, with what the store did last.
func TestContextEndsWhileTheStoreIsAway(t *testing.T) {
	cluster := single(t)
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	cluster.Members()[0].Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Load(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Load = %v, want the error of its context", err)
	}
	wantProblem(t, err, "the store does not answer")
	if took := time.Since(start); took > time.Second {
		t.Errorf("Load took %v after its context had ended", took)
	}
}

// The deadline ends a change whose answer does not come, also if no context does.
func TestDeadlineEndsSwap(t *testing.T) {
	cluster := single(t)
	proxy := storetest.NewProxy(t, "tcp", cluster.Endpoints()[0], storetest.HTTP2)
	s := open(t, "etcd://"+proxy.Addr()+"/p")
	swap(t, s, change(0, "one"))
	proxy.Order(storetest.Fault{Message: 1, Action: storetest.Hang, Match: contains("two")})
	c := change(1, "two")
	c.Deadline = time.Now().Add(time.Second)
	err := s.Swap(t.Context(), c)
	wantProblem(t, err, "the store does not answer")
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error %v is that of a context, and the caller's has not ended", err)
	}
	if late := time.Since(c.Deadline); late < 0 || late > time.Second {
		t.Errorf("Swap returned %v after the deadline", late)
	}

	// If the read before it is what hangs, nothing was sent.
	proxy.Heal()
	eventually(t, "a read", func() bool { _, err := s.Load(t.Context()); return err == nil })
	proxy.Hang()
	c.Deadline = time.Now().Add(time.Second)
	if err := s.Swap(t.Context(), c); !errors.Is(err, keys.ErrTooLate) {
		t.Errorf("Swap whose read hangs = %v, want ErrTooLate", err)
	}
}

// A watch whose place in the history was compacted while it was cut off ends. Wait then
// reads the keyset and sees the change.
func TestCompactionDuringWait(t *testing.T) {
	cluster := single(t)
	proxy := storetest.NewProxy(t, "tcp", cluster.Endpoints()[0], storetest.HTTP2)
	s, direct := open(t, "etcd://"+proxy.Addr()+"/p"), open(t, cluster.URL("/p"))
	swap(t, direct, change(0, "one"))
	hint := waiting(t, s, 1)
	client := cluster.Client(clientv3.Config{})
	eventually(t, "the watch", func() bool { return watchers(t, cluster.Endpoints()[0]) == 1 })
	proxy.Refuse()
	swap(t, direct, change(1, "two"))
	answer, err := client.Put(t.Context(), "other", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), answer.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	proxy.Heal()
	if err := receive(t, hint); err != nil {
		t.Errorf("Wait = %v", err)
	}
}

// Changes of other keys under the prefix, and of other prefixes, do not end Wait.
func TestOtherKeysDoNotEndWait(t *testing.T) {
	cluster := single(t)
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	hint := waiting(t, s, 1)
	eventually(t, "the watch", func() bool { return watchers(t, cluster.Endpoints()[0]) == 1 })
	client := cluster.Client(clientv3.Config{})
	for _, key := range []string{"/p/private_key/a", "/p/keyset2", "/p", "/q/keyset"} {
		if _, err := client.Put(t.Context(), key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-hint:
		t.Fatalf("Wait returned %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	swap(t, s, change(1, "two"))
	if err := receive(t, hint); err != nil {
		t.Errorf("Wait = %v", err)
	}
}
