package etcdtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/jwksctl/jwksctl/pkg/store/etcd"
	"github.com/jwksctl/jwksctl/pkg/store/etcdcluster"
)

// enableAuth creates the roles and users of the README, and turns authentication on. It
// returns a client of root.
func enableAuth(t *testing.T, cluster *etcdcluster.Cluster, config clientv3.Config) *clientv3.Client {
	t.Helper()
	client := cluster.Client(config)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	must(client.RoleAdd(ctx, "root"))
	must(client.UserAdd(ctx, "root", "root's"))
	must(client.UserGrantRole(ctx, "root", "root"))
	must(client.RoleAdd(ctx, "jwksctl_reader"))
	must(client.RoleGrantPermission(ctx, "jwksctl_reader", "/p/keyset", "", clientv3.PermissionType(clientv3.PermRead)))
	must(client.RoleAdd(ctx, "jwksctl_signer"))
	must(client.RoleGrantPermission(ctx, "jwksctl_signer", "/p/", clientv3.GetPrefixRangeEnd("/p/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	for _, name := range []string{"reader", "signer"} {
		must(client.UserAdd(ctx, name, name+"'s"))
		must(client.UserGrantRole(ctx, name, "jwksctl_"+name))
	}
	must(client.AuthEnable(ctx))
	config.Username, config.Password = "root", "root's"
	return cluster.Client(config)
}

// passwordFile writes a password to a file of mode 0600.
func passwordFile(t *testing.T, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkRoles checks what a signer and a reader may do at these URLs.
func checkRoles(t *testing.T, signerURL, readerURL string) {
	t.Helper()
	const denied = "the store does not permit this access"
	signer := open(t, signerURL)
	c := change(0, "one")
	c.Put = map[string][]byte{"a": []byte("key a"), "b": []byte("key b")}
	swap(t, signer, c)

	reader, err := etcd.OpenReader(t.Context(), readerURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	wantKeyset(t, reader, 1, "one")
	_, err = reader.PrivateKey(t.Context(), "a")
	wantProblem(t, err, denied)
	_, err = reader.PrivateKey(t.Context(), "unknown")
	wantProblem(t, err, denied)
	_, err = reader.PrivateKeyIDs(t.Context())
	wantProblem(t, err, denied)
	wantProblem(t, reader.Swap(t.Context(), change(1, "no")), denied)

	hint := waiting(t, reader, 1)
	c = change(1, "two")
	c.Delete = []string{"a"}
	swap(t, signer, c)
	if err := receive(t, hint); err != nil {
		t.Errorf("Wait of the reader = %v", err)
	}
	wantKeyset(t, reader, 2, "two")
	if kids, err := signer.PrivateKeyIDs(t.Context()); err != nil || len(kids) != 1 || kids[0] != "b" {
		t.Errorf("the signer sees the private keys %q, %v, want b", kids, err)
	}
}

func TestRolesWithPasswords(t *testing.T) {
	cluster := single(t)
	root := enableAuth(t, cluster, clientv3.Config{})
	login := func(user string) string {
		return cluster.URL("/p") + "?user=" + user + "&password_file=" + passwordFile(t, user+"'s")
	}
	checkRoles(t, login("signer"), login("reader"))

	_, err := open(t, cluster.URL("/p")).Load(t.Context())
	wantProblem(t, err, "the store asks for a user")
	_, err = open(t, strings.Replace(login("signer"), "/p?", "/q?", 1)).Load(t.Context())
	wantProblem(t, err, "the store does not permit this access")

	// The file is read again at each login. A restart of the member, and a new password,
	// make the old token invalid.
	file := passwordFile(t, "reader's")
	s := open(t, cluster.URL("/p")+"?user=reader&password_file="+file)
	wantKeyset(t, s, 2, "two")
	cluster.Members()[0].Kill()
	cluster.Members()[0].Start()
	eventually(t, "a read after the restart", func() bool { _, err := s.Load(t.Context()); return err == nil })
	hint := waiting(t, s, 2) // logs in again
	if _, err := root.UserChangePassword(t.Context(), "reader", "new"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(t.Context())
	wantProblem(t, err, "the store refuses the password")
	if err := os.WriteFile(file, []byte("new\r\nignored\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantKeyset(t, s, 2, "two")
	swap(t, open(t, login("signer")), change(2, "three"))
	if err := receive(t, hint); err != nil {
		t.Errorf("Wait after the restart = %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := root.UserChangePassword(t.Context(), "reader", "newer"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(t.Context())
	wantProblem(t, err, "a file with credentials for the store cannot be used")
}

// A swap whose token has become invalid is not repeated, and the next one works.
func TestTokenOfASwapExpires(t *testing.T) {
	cluster := single(t)
	root := enableAuth(t, cluster, clientv3.Config{})
	s := open(t, cluster.URL("/p")+"?user=signer&password_file="+passwordFile(t, "signer's"))
	for version := range uint64(3) {
		swap(t, s, change(version, "x"))
		if _, err := root.UserChangePassword(t.Context(), "signer", "signer's"); err != nil {
			t.Fatal(err) // the same password, but every token of the user is invalid now
		}
	}
	wantKeyset(t, s, 3, "x")
}

// A user is accepted by a cluster that does not ask for one, as etcdctl does it.
func TestUserWithoutAuthentication(t *testing.T) {
	cluster := single(t)
	s := open(t, cluster.URL("/p")+"?user=signer&password_file="+passwordFile(t, "signer's"))
	swap(t, s, change(0, "one"))
	enableAuth(t, cluster, clientv3.Config{})
	eventually(t, "a login after authentication was turned on", func() bool {
		record, err := s.Load(t.Context())
		return err == nil && record.Version == 1
	})
}
