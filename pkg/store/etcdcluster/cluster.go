//go:build unix

// Package etcdcluster starts a cluster of etcd for a test: one process for each member,
// so that a test can kill, freeze and restart them. It is for tests only.
//
//	cluster := etcdcluster.Start(t, etcdcluster.Options{})
//	s, err := etcd.Open(ctx, cluster.URL("/prefix"))
//	cluster.Member(cluster.Leader()).Kill()
//
// The program of a member is in the nested module pkg/store/etcd/etcdtest, so that the
// server of etcd is not in our go.mod. The go command builds it once and keeps it in its
// cache. The members listen on loopback, and end with the test.
package etcdcluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/jwksctl/jwksctl/pkg/programtest"
)

// waitTimeout is how long the cluster may take to get healthy: an election takes 2 s on an
// idle machine.
const waitTimeout = time.Minute

// Options are the settings of a cluster.
type Options struct {
	Members int      // 0 means 3
	Args    []string // more arguments of each member: see the program member
	Program string   // what Build returned, to build only once; "" builds it

	// CACert, Cert and Key are files in PEM for TLS with clients. Cert must be valid for
	// 127.0.0.1, for a server and for a client. Members talk to each other without TLS.
	CACert, Cert, Key string
}

// Cluster is a running cluster.
type Cluster struct {
	t       testing.TB
	options Options
	members []*Member
}

// Start starts a cluster and waits until it has a leader. The test's cleanup ends it.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	if options.Members == 0 {
		options.Members = 3
	}
	if options.Program == "" {
		program, err := Build(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		options.Program = program
	}
	c := &Cluster{t: t, options: options}
	ports := programtest.Addresses(t, 2*options.Members)
	var peers []string
	for i := range options.Members {
		m := &Member{
			t: t, program: options.Program, name: fmt.Sprintf("m%d", i), dir: filepath.Join(t.TempDir(), "data"),
			endpoint: ports[2*i], peer: "http://" + ports[2*i+1],
		}
		peers = append(peers, m.name+"="+m.peer)
		c.members = append(c.members, m)
	}
	for _, m := range c.members {
		m.args = append(c.arguments(m), "-cluster", strings.Join(peers, ","))
		m.launch(nil)
	}
	for _, m := range c.members {
		m.WaitReady()
	}
	return c
}

// Build builds the program of a member and returns its path in the cache of the go command.
func Build(ctx context.Context) (program string, err error) {
	root, err := goCommand(ctx, "list", "-m", "-f", "{{.Dir}}", "github.com/jwksctl/jwksctl")
	if err != nil {
		return "", err
	}
	return goCommand(ctx, "-C", filepath.Join(root, "pkg", "store", "etcd", "etcdtest"), "tool", "-n", "member")
}

// goCommand runs the go command and returns the line that it prints.
func goCommand(ctx context.Context, args ...string) (string, error) {
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, "go", args...)  //nolint:gosec // the arguments are those of Build
	command.Env = append(os.Environ(), "CGO_ENABLED=0") // one build, also for tests under the race detector
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build a member of etcd: go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (c *Cluster) arguments(m *Member) []string {
	args := []string{"-name", m.name, "-data", m.dir, "-peer", m.peer}
	if c.options.Cert == "" {
		args = append(args, "-client", "http://"+m.endpoint)
	} else {
		args = append(args, "-client", "https://"+m.endpoint,
			"-cacert", c.options.CACert, "-cert", c.options.Cert, "-key", c.options.Key)
	}
	return append(args, c.options.Args...)
}

// Endpoints are the addresses of the members for clients, HOST:PORT.
func (c *Cluster) Endpoints() []string {
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.endpoint)
	}
	return endpoints
}

// URL is the URL of a store in the cluster. The caller appends parameters.
func (c *Cluster) URL(prefix string) string {
	return "etcd://" + strings.Join(c.Endpoints(), ",") + prefix
}

// Members are the members, in the order of Endpoints.
func (c *Cluster) Members() []*Member { return c.members }

// Restart kills every member, starts it again, and waits until the cluster has a leader.
func (c *Cluster) Restart() {
	c.t.Helper()
	for _, m := range c.members {
		m.Kill()
	}
	for _, m := range c.members {
		m.Start()
	}
	for _, m := range c.members {
		m.WaitReady()
	}
}

// Backup saves a snapshot, as etcdctl snapshot save does. The function that it returns
// makes a new cluster of it in the place of this one, as etcdutl snapshot restore does. It
// does not work with TLS.
func (c *Cluster) Backup() (restore func()) {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), "snapshot")
	if err := c.save(path); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		for _, m := range c.members {
			m.Kill()
			if err := os.RemoveAll(m.dir); err != nil {
				c.t.Fatal(err)
			}
		}
		for _, m := range c.members {
			m.Start("-restore", path)
		}
		for _, m := range c.members {
			m.WaitReady()
		}
	}
}

func (c *Cluster) save(path string) error {
	client := c.Client(clientv3.Config{Endpoints: c.Endpoints()[:1]}) // a snapshot is one member's
	if _, err := client.Get(c.t.Context(), "any"); err != nil {       // the member has caught up after a linearizable read
		return err
	}
	snapshot, err := client.Snapshot(c.t.Context())
	if err != nil {
		return err
	}
	defer snapshot.Close()
	content, err := io.ReadAll(snapshot)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// Client returns a client of the running members for what a test does as an operator. The
// test's cleanup closes it.
func (c *Cluster) Client(config clientv3.Config) *clientv3.Client {
	c.t.Helper()
	if config.Endpoints == nil {
		config.Endpoints = c.Endpoints()
	}
	config.Logger = zap.NewNop()
	client, err := clientv3.New(config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Leader waits until the running members agree on a leader, and returns it. It does not
// work with TLS.
func (c *Cluster) Leader() *Member {
	c.t.Helper()
	client := c.Client(clientv3.Config{})
	defer client.Close() //nolint:errcheck // it is closed again at the end of the test
	for end := time.Now().Add(waitTimeout); time.Now().Before(end); wait(c.t) {
		if m := c.agreedLeader(client); m != nil {
			return m
		}
	}
	c.t.Fatal("the cluster has no leader")
	return nil
}

// agreedLeader returns the member that all running members take for the leader, nil if
// there is none.
func (c *Cluster) agreedLeader(client *clientv3.Client) (leader *Member) {
	agreed := uint64(0)
	for _, m := range c.members {
		if m.state != running {
			continue
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		status, err := client.Status(ctx, m.endpoint)
		cancel()
		if err != nil || status.Leader == 0 || (agreed != 0 && status.Leader != agreed) {
			return nil
		}
		agreed = status.Leader
		if status.Header.MemberId == agreed {
			leader = m
		}
	}
	return leader
}

// wait waits a little before a condition is checked again.
func wait(t testing.TB) {
	select {
	case <-t.Context().Done():
		t.Fatal("the test is over")
	case <-time.After(20 * time.Millisecond):
	}
}
