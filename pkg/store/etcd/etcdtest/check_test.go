package etcdtest_test

import (
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/etcd"
)

// hasCheck reports whether a check has a result with a status and a text.
func hasCheck(t *testing.T, s *etcd.Store, name string, status keys.CheckStatus, text string) bool {
	t.Helper()
	results, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Check == name && r.Status == status && strings.Contains(r.Detail, text) {
			return true
		}
	}
	t.Logf("%+v", results)
	return false
}

func wantCheck(t *testing.T, s *etcd.Store, name string, status keys.CheckStatus, text string) {
	t.Helper()
	if !hasCheck(t, s, name, status, text) {
		t.Errorf("there is no %s of %s with %q", status, name, text)
	}
}

func TestCheckFindsAMemberThatIsAway(t *testing.T) {
	cluster := three(t)
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	wantCheck(t, s, "etcd_members", keys.CheckOK, "each of the 3")
	wantCheck(t, s, "etcd_leader", keys.CheckOK, "")
	wantCheck(t, s, "etcd_size", keys.CheckOK, "3 voting members: 1 may fail")
	wantCheck(t, s, "etcd_alarms", keys.CheckOK, "none")

	cluster.Members()[0].Kill()
	eventually(t, "a new leader", func() bool { return hasCheck(t, s, "etcd_leader", keys.CheckOK, "") })
	wantCheck(t, s, "etcd_members", keys.CheckFinding, "cannot be asked: the store does not answer")
}

func TestCheckFindsAnAlarm(t *testing.T) {
	cluster := single(t, "-quota-bytes", "100000")
	client := cluster.Client(clientv3.Config{})
	s := open(t, cluster.URL("/p"))
	swap(t, s, change(0, "one"))
	eventually(t, "the alarm", func() bool {
		_, err := client.Put(t.Context(), "fill", strings.Repeat("x", 50_000))
		return err != nil
	})
	wantCheck(t, s, "etcd_alarms", keys.CheckFinding, "NOSPACE")
}

// With the rights of a signer there is no finding either.
func TestCheckByASigner(t *testing.T) {
	cluster := single(t)
	enableAuth(t, cluster, clientv3.Config{})
	s := open(t, cluster.URL("/p")+"?user=signer&password_file="+passwordFile(t, "signer's"))
	results, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Status == keys.CheckFinding {
			t.Errorf("%+v", r)
		}
	}
	t.Logf("%+v", results)
}
