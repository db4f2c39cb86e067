package etcd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// fakeServer answers as a test says. What a real cluster does is tested in etcdtest; here
// are errors that a cluster cannot be made to return, and counts of requests.
type fakeServer struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer

	mu      sync.Mutex
	onRange func(n int) error // called with the number of reads so far
	txnErr  error
	ttls    []int64
	ranges  int
	txns    int
}

func (f *fakeServer) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ranges++
	if f.onRange != nil {
		if err := f.onRange(f.ranges); err != nil {
			return nil, err
		}
	}
	return &pb.RangeResponse{
		Header: &pb.ResponseHeader{Revision: 7},
		Kvs:    []*mvccpb.KeyValue{{Key: r.Key, Value: []byte("1\none"), ModRevision: 5}},
	}, nil
}

func (f *fakeServer) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ttls = append(f.ttls, r.TTL)
	return &pb.LeaseGrantResponse{Header: &pb.ResponseHeader{}, ID: 9, TTL: r.TTL}, nil
}

func (f *fakeServer) Txn(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.txns++
	if f.txnErr != nil {
		return nil, f.txnErr
	}
	return &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: true}, nil
}

// open starts the server and opens a store in it.
func (f *fakeServer) open(t *testing.T) *Store {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterKVServer(server, f)
	pb.RegisterLeaseServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	s, err := Open(t.Context(), "etcd://"+listener.Addr().String()+"/p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func change(deadline time.Time) keys.Change {
	return keys.Change{Version: 1, Document: []byte("two"), Deadline: deadline}
}

// A transaction that fails is never sent again, whatever the error says.
func TestTransactionIsSentOnce(t *testing.T) {
	for _, err := range []error{
		rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCLeaderChanged, rpctypes.ErrGRPCTimeout, rpctypes.ErrGRPCStopped,
		rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCUserEmpty,
		rpctypes.ErrGRPCNotSupportedForLearner, rpctypes.ErrGRPCRequestTooManyRequests,
		status.Error(codes.Unavailable, "there is no connection available"), // the client of etcd may repeat this one
		status.Error(codes.Internal, "x"), status.Error(codes.DeadlineExceeded, "x"), status.Error(codes.Canceled, "x"),
	} {
		f := &fakeServer{txnErr: err}
		got := f.open(t).Swap(t.Context(), change(time.Time{}))
		if _, ok := errors.AsType[*keys.StoreError](got); !ok || errors.Is(got, keys.ErrConflict) || errors.Is(got, keys.ErrTooLate) {
			t.Errorf("%v: Swap = %v, want an unclear StoreError", err, got)
		}
		if f.txns != 1 {
			t.Errorf("%v: the transaction was sent %d times", err, f.txns)
		}
	}
}

// The clock is read again after everything that may take time, just before the
// transaction is sent.
func TestDeadlineIsCheckedLast(t *testing.T) {
	start := time.Now()
	f := &fakeServer{}
	s := f.open(t)
	var clock sync.Mutex
	now := start
	s.now = func() time.Time { clock.Lock(); defer clock.Unlock(); return now }
	f.onRange = func(int) error { clock.Lock(); defer clock.Unlock(); now = start.Add(time.Hour); return nil }
	if err := s.Swap(t.Context(), change(start.Add(time.Hour))); !errors.Is(err, keys.ErrTooLate) {
		t.Errorf("Swap = %v, want ErrTooLate", err)
	}
	if f.ranges != 1 || f.txns != 0 {
		t.Errorf("%d reads and %d transactions were sent, want 1 and 0", f.ranges, f.txns)
	}
	if err := s.Swap(t.Context(), change(start.Add(time.Hour))); !errors.Is(err, keys.ErrTooLate) || f.ranges != 1 {
		t.Errorf("Swap after its deadline = %v, with %d reads", err, f.ranges)
	}
}

// The lease ends with the deadline, rounded down to seconds. Without a deadline there is
// none. If the lease has ended, nothing was written.
func TestLease(t *testing.T) {
	f := &fakeServer{}
	s := f.open(t)
	now := time.Now()
	s.now = func() time.Time { return now }
	for _, d := range []time.Duration{4 * time.Second, 3999 * time.Millisecond, 300 * time.Millisecond} {
		if err := s.Swap(t.Context(), change(now.Add(d))); err != nil {
			t.Error(err)
		}
	}
	if err := s.Swap(t.Context(), change(time.Time{})); err != nil {
		t.Error(err)
	}
	if len(f.ttls) != 3 || f.ttls[0] != 4 || f.ttls[1] != 3 || f.ttls[2] != 1 {
		t.Errorf("the leases have %v seconds, want 4, 3 and 1", f.ttls)
	}
	f.txnErr = rpctypes.ErrGRPCLeaseNotFound
	if err := s.Swap(t.Context(), change(now.Add(time.Hour))); !errors.Is(err, keys.ErrTooLate) {
		t.Errorf("Swap whose lease has expired = %v, want ErrTooLate", err)
	}
}

// A read is tried again where that may help, and only there.
func TestReadIsRepeated(t *testing.T) {
	for _, err := range []error{
		rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCLeaderChanged, rpctypes.ErrGRPCTimeout, rpctypes.ErrGRPCInvalidAuthToken,
		rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCNotSupportedForLearner, rpctypes.ErrGRPCRequestTooManyRequests,
	} {
		f := &fakeServer{onRange: func(n int) error {
			if n <= 2 {
				return err
			}
			return nil
		}}
		if record, got := f.open(t).Load(t.Context()); got != nil || record.Version != 1 || f.ranges != 3 {
			t.Errorf("%v: Load = version %d, %v after %d reads, want success after 3", err, record.Version, got, f.ranges)
		}
	}
	for _, err := range []error{rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCCorrupt, status.Error(codes.Internal, "x")} {
		f := &fakeServer{onRange: func(int) error { return err }}
		if _, got := f.open(t).Load(t.Context()); got == nil || f.ranges != 1 {
			t.Errorf("%v: Load = %v after %d reads, want an error after 1", err, got, f.ranges)
		}
	}
}

// Each error of etcd has a problem of its own kind.
func TestProblems(t *testing.T) {
	for err, want := range map[error]string{
		rpctypes.ErrGRPCNoLeader:                           "the store has no leader",
		rpctypes.ErrGRPCTimeoutDueToLeaderFail:             "the store has no leader",
		rpctypes.ErrGRPCTimeout:                            "the store does not answer",
		rpctypes.ErrGRPCTimeoutWaitAppliedIndex:            "the store does not answer",
		rpctypes.ErrGRPCStopped:                            "the store does not answer",
		rpctypes.ErrGRPCPermissionDenied:                   "the store does not permit this access",
		rpctypes.ErrGRPCAuthFailed:                         "the store refuses the password",
		rpctypes.ErrGRPCUserEmpty:                          "the store asks for a user",
		rpctypes.ErrGRPCInvalidAuthToken:                   "the store refuses the login",
		rpctypes.ErrGRPCNoSpace:                            "the store is out of space",
		rpctypes.ErrGRPCRequestTooLarge:                    "the change is larger than the store accepts",
		rpctypes.ErrGRPCTooManyOps:                         "the change is larger than the store accepts",
		rpctypes.ErrGRPCRequestTooManyRequests:             "the store is overloaded",
		rpctypes.ErrGRPCCorrupt:                            "the store is corrupt",
		rpctypes.ErrGRPCNotSupportedForLearner:             "the member of the store is still a learner",
		status.Error(codes.Internal, "x"):                  "the store failed",
		status.Error(codes.ResourceExhausted, "x"):         "the store failed",
		status.Error(codes.Unavailable, "remote error: x"): "the store does not answer",
	} {
		f := &fakeServer{txnErr: err}
		got := f.open(t).Swap(t.Context(), change(time.Time{}))
		failed, ok := errors.AsType[*keys.StoreError](got)
		if !ok || failed.Problem != want || !strings.Contains(failed.Err.Error(), status.Convert(err).Message()) {
			t.Errorf("%v: the error is %v, want the problem %q", err, got, want)
		}
	}
}

func TestFilesAreCheckedByOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	garbage := write("garbage", "garbage", 0o600)
	for query, want := range map[string]string{
		"cacert=" + dir + "/missing":                                    "no such file",
		"cacert=" + garbage:                                             "contains no certificate",
		"cert=" + garbage + "&key=" + garbage:                           "cert= or key=",
		"cert=" + garbage + "&key=" + dir + "/missing":                  "no such file",
		"cert=" + garbage + "&key=" + write("open", "hunter2", 0o644):   "chmod 600",
		"user=me&password_file=" + dir + "/missing":                     "no such file",
		"user=me&password_file=" + write("empty", "\nhunter2\n", 0o600): "is empty",
		"user=me&password_file=" + write("open", "hunter2", 0o644):      "chmod 600",
	} {
		s, err := Open(t.Context(), "etcd://127.0.0.1/p?"+query)
		if err == nil || s != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open with %q = %v, want an error with %q", query, err, want)
		}
	}
}

// If no member can be reached, a read fails at once: a command does not wait for nothing.
func TestUnreachableStoreFailsAtOnce(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), "etcd://"+listener.Addr().String()+"/p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = s.Load(t.Context())
	failed, ok := errors.AsType[*keys.StoreError](err)
	if !ok || failed.Problem != "the store does not answer" || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Load = %v, want a StoreError that says why", err)
	}
	if took := time.Since(start); took > readTimeout/2 {
		t.Errorf("Load took %v", took)
	}
}
