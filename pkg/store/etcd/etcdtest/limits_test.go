package etcdtest_test

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// A change that etcd refuses for its size is a clear error, and nothing of it is written.
func TestSizeLimits(t *testing.T) {
	cluster := single(t)
	s := open(t, cluster.URL("/p"))
	largest := change(0, strings.Repeat("x", 1400<<10))
	swap(t, s, largest)
	many := change(1, "many keys")
	many.Put = map[string][]byte{}
	for i := range 128 { // and the document: one too many for etcd
		many.Put[fmt.Sprint(i)] = []byte("key")
	}
	large := change(1, strings.Repeat("x", 1600<<10))
	large.Put = map[string][]byte{"0": []byte("key")}
	huge := change(1, strings.Repeat("x", 3<<20)) // more than the client sends
	huge.Put = large.Put
	for _, c := range []keys.Change{many, large, huge} {
		wantProblem(t, s.Swap(t.Context(), c), "the change is larger than the store accepts")
	}
	wantKeyset(t, s, 1, string(largest.Document))
	if kids, err := s.PrivateKeyIDs(t.Context()); err != nil || len(kids) != 0 {
		t.Errorf("the private keys are %q, %v, want none", kids, err)
	}
	delete(many.Put, "0")
	swap(t, s, many)
	if kids, err := s.PrivateKeyIDs(t.Context()); err != nil || len(kids) != 127 {
		t.Errorf("the store has %d private keys, %v, want 127", len(kids), err)
	}
}

// A kid may be deleted twice, and put and deleted in one change, which etcd does not take
// as it is: the result is that of the other engines.
func TestOneKeyTwiceInAChange(t *testing.T) {
	cluster := single(t)
	s := open(t, cluster.URL("/p"))
	c := change(0, "one")
	c.Put = map[string][]byte{"a": []byte("key a"), "b": []byte("key b")}
	c.Delete = []string{"a", "a", "unknown"}
	swap(t, s, c)
	if kids, err := s.PrivateKeyIDs(t.Context()); err != nil || len(kids) != 1 || kids[0] != "b" {
		t.Errorf("the private keys are %q, %v, want b", kids, err)
	}
}

// A cluster that is out of space refuses changes and still answers reads.
func TestOutOfSpace(t *testing.T) {
	cluster := single(t, "-quota-bytes", "100000")
	client := cluster.Client(clientv3.Config{})
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	eventually(t, "the alarm", func() bool {
		_, err := client.Put(t.Context(), "fill", strings.Repeat("x", 50_000))
		return err != nil
	})
	wantProblem(t, s.Swap(t.Context(), change(1, "two")), "the store is out of space")
	wantKeyset(t, s, 1, "one")
}
