package etcdtest_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/etcd"
	"github.com/jwksctl/jwksctl/pkg/store/etcdcluster"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func open(t *testing.T, url string) *etcd.Store {
	t.Helper()
	s, err := etcd.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	cluster := etcdcluster.Start(t, etcdcluster.Options{})
	var stores atomic.Int32
	storetest.Run(t, func(t *testing.T) func() keys.Store {
		url := cluster.URL(fmt.Sprintf("/store %d", stores.Add(1)))
		return func() keys.Store { return open(t, url) }
	})
}
