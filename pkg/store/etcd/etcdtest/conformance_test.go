package etcdtest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/etcd"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func TestConformance(t *testing.T) {
	cluster := three(t)
	var stores atomic.Int32
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		url := cluster.URL(fmt.Sprintf("/store %d", stores.Add(1)))
		return storetest.Fixture{
			Open:     func() keys.Store { return mustOpen(t, url) },
			Restart:  cluster.Restart,
			Backup:   cluster.Backup,
			TooLarge: 1536 << 10,
		}
	})
}

func TestFaults(t *testing.T) {
	cluster := three(t)
	leader := cluster.Leader().Endpoint()
	var stores atomic.Int32
	storetest.RunFaults(t, func(t *testing.T) storetest.Fixture {
		prefix := fmt.Sprintf("/store %d", stores.Add(1))
		return storetest.Fixture{
			Open: func() keys.Store { return mustOpen(t, cluster.URL(prefix)) },
			Network: &storetest.Network{
				Network: "tcp", Address: leader, Framing: storetest.HTTP2,
				Open: func(ctx context.Context, address string) (keys.Store, error) {
					s, err := etcd.Open(ctx, "etcd://"+address+prefix)
					if err != nil {
						return nil, err // and not a nil *etcd.Store in a keys.Store
					}
					return s, nil
				},
				Lateness: 3 * time.Second, // 2 s is the shortest lease
			},
		}
	})
}

// The keys and values are those that the package comment draws.
func TestLayout(t *testing.T) {
	cluster := single(t)
	c := change(0, "the document")
	c.Put = map[string][]byte{"kid/\xff": []byte("sealed")}
	c.First = 41
	swap(t, open(t, cluster.URL("/a/b/")), c)
	swap(t, open(t, cluster.URL("")), change(0, "another"))

	answer, err := cluster.Client(clientv3.Config{}).Get(t.Context(), "", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, kv := range answer.Kvs {
		fmt.Fprintf(&got, "%q = %q\n", kv.Key, kv.Value)
	}
	if want := `"/a/b/keyset" = "41\nthe document"
"/a/b/private_key/kid/\xff" = "sealed"
"/jwksctl/keyset" = "1\nanother"
`; got.String() != want {
		t.Errorf("etcd contains\n%s, want\n%s", got.String(), want)
	}
}

// A value that is not ours is never taken for an empty store, and is not overwritten.
func TestForeignValue(t *testing.T) {
	cluster := single(t)
	client, s := cluster.Client(clientv3.Config{}), open(t, cluster.URL("/p"))
	for _, value := range []string{"", "{}", "1\n", "0\nx", "01\nx", "+1\nx", "18446744073709551616\nx"} {
		if _, err := client.Put(t.Context(), "/p/keyset", value); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load(t.Context())
		wantProblem(t, err, "the store contains something that is not a keyset")
		wantProblem(t, s.Swap(t.Context(), change(0, "x")), "the store contains something that is not a keyset")
	}
}

// Ten processes create the keyset at the same time, and one succeeds.
func TestTenProcessesCreate(t *testing.T) {
	cluster := three(t)
	url := cluster.URL("/p")
	var group sync.WaitGroup
	var created, lost atomic.Int32
	for i := range 10 {
		group.Go(func() {
			switch code, output := runProcess(t, url, "create", fmt.Sprint(i)); {
			case code == 0 && output == "":
				created.Add(1)
			case code == 1 && output == keys.ErrConflict.Error():
				lost.Add(1)
			default:
				t.Errorf("process %d: exit code %d: %s", i, code, output)
			}
		})
	}
	group.Wait()
	if created.Load() != 1 || lost.Load() != 9 {
		t.Errorf("%d processes created the keyset and %d lost, want 1 and 9", created.Load(), lost.Load())
	}
	s := open(t, url)
	record, err := s.Load(t.Context())
	if err != nil || record.Version != 1 {
		t.Fatalf("Load = version %d, %v, want version 1", record.Version, err)
	}
	if kids, err := s.PrivateKeyIDs(t.Context()); err != nil || len(kids) != 1 || kids[0] != string(record.Document) {
		t.Errorf("the private keys are %q, %v, want that of process %s alone", kids, err, record.Document)
	}
}

// The client of etcd and gRPC write nothing to stderr, whatever happens to the cluster.
func TestNothingIsWrittenToStderr(t *testing.T) {
	cluster := three(t)
	url := cluster.URL("/p")
	swap(t, open(t, url), change(0, "one"))
	result := make(chan string, 1)
	go func() {
		_, output := runProcess(t, url, "follow")
		result <- output
	}()
	eventually(t, "the process follows the store", func() bool {
		answer, err := cluster.Client(clientv3.Config{}).Get(t.Context(), "/p/keyset")
		return err == nil && len(answer.Kvs) == 1 && strings.HasPrefix(string(answer.Kvs[0].Value), "2\n")
	})
	for _, m := range cluster.Members() {
		m.Kill()
		m.Start()
		m.WaitReady()
	}
	leader := cluster.Leader()
	leader.Freeze()
	eventually(t, "another leader", func() bool { return cluster.Leader() != leader })
	s := open(t, url)
	eventually(t, "the last change", func() bool { return s.Swap(t.Context(), change(2, "end")) == nil })
	leader.Thaw()
	select {
	case output := <-result:
		if output != "" {
			t.Errorf("the process wrote\n%s", output)
		}
	case <-time.After(waitTimeout):
		t.Error("the process does not end")
	}
}

// process is another process of a test. It returns its exit code.
func process(url string, args []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	s, err := etcd.Open(ctx, url)
	if err == nil && args[0] == "create" {
		c := change(0, args[1])
		c.Put = map[string][]byte{args[1]: []byte("sealed")}
		err = s.Swap(ctx, c)
	}
	if err == nil && args[0] == "follow" {
		err = follow(ctx, s)
	}
	if err != nil {
		_, _ = io.WriteString(os.Stderr, err.Error())
		return 1
	}
	_ = s.Close()
	return 0
}

// follow makes one change, and follows the keyset until its document is "end". Failures of
// the store are passed over.
func follow(ctx context.Context, s *etcd.Store) error {
	if err := s.Swap(ctx, change(1, "two")); err != nil {
		return err
	}
	for ctx.Err() == nil {
		_ = s.Wait(ctx, 2)
		if record, err := s.Load(ctx); err == nil && string(record.Document) == "end" {
			return nil
		}
	}
	return ctx.Err()
}
