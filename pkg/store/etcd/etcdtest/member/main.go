// Command member runs one member of an etcd cluster for tests, as a process that a test
// can stop and kill. It is the server of etcd with etcd's defaults, apart from fsync.
//
//	member -name m0 -data DIR -client http://127.0.0.1:2379 -peer http://127.0.0.1:2380
//	       -cluster m0=http://127.0.0.1:2380,m1=…,m2=…
//	       [-cacert FILE -cert FILE -key FILE [-client-certs]] [-fsync] [-quota-bytes N] [-restore SNAPSHOT]
//
// It prints a line "ready" on stdout when it is part of a cluster with a leader. It ends
// at SIGTERM, and when its stdin ends, so that it does not outlive the test that holds
// the other end. A member that finds data in DIR continues with it; -restore fills DIR,
// which must not exist, from a snapshot, as etcdutl snapshot restore does.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "member:", err)
		os.Exit(1)
	}
}

// run runs the member until it is told to end.
func run(args []string, stdin io.Reader, stdout io.Writer) error {
	config, snapshot, err := parse(args)
	if err != nil {
		return err
	}
	if snapshot != "" {
		if err := restore(config, snapshot); err != nil {
			return err
		}
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, os.Interrupt)
	orphaned := make(chan struct{})
	go func() {
		defer close(orphaned)
		_, _ = io.Copy(io.Discard, stdin)
	}()
	member, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	ready := member.Server.ReadyNotify()
	for {
		select {
		case <-ready:
			ready = nil
			if _, err := fmt.Fprintln(stdout, "ready"); err != nil {
				return err
			}
		case <-terminated:
			member.Close() // hands the leadership over
			return nil
		case <-orphaned:
			return nil
		case <-member.Server.StopNotify():
			return errors.New("the server stopped")
		case err := <-member.Err():
			return err
		}
	}
}

// restore makes the data of a member of a new cluster from a snapshot.
func restore(config *embed.Config, path string) error {
	var peers []string
	for _, u := range config.AdvertisePeerUrls {
		peers = append(peers, u.String())
	}
	return snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, Name: config.Name, OutputDataDir: config.Dir, PeerURLs: peers,
		InitialCluster: config.InitialCluster, InitialClusterToken: config.InitialClusterToken,
	})
}

// parse makes the settings of etcd from the flags. snapshot is "" to restore nothing.
func parse(args []string) (config *embed.Config, snapshot string, err error) {
	config = embed.NewConfig()
	config.LogLevel = "error"
	flags := flag.NewFlagSet("member", flag.ContinueOnError)
	flags.StringVar(&config.Name, "name", "", "`name` of the member")
	flags.StringVar(&config.Dir, "data", "", "`folder` of the data")
	flags.StringVar(&config.InitialCluster, "cluster", "", "all members, as `NAME=PEERURL,…`")
	client := flags.String("client", "", "`URL` for clients")
	peer := flags.String("peer", "", "`URL` for the other members")
	flags.StringVar(&config.ClientTLSInfo.TrustedCAFile, "cacert", "", "`file` with the CA of client certificates")
	flags.StringVar(&config.ClientTLSInfo.CertFile, "cert", "", "`file` with the certificate for clients")
	flags.StringVar(&config.ClientTLSInfo.KeyFile, "key", "", "`file` with its private key")
	flags.BoolVar(&config.ClientTLSInfo.ClientCertAuth, "client-certs", false, "refuse clients without a certificate")
	flags.Int64Var(&config.QuotaBackendBytes, "quota-bytes", 0, "largest size of the data; 0 means etcd's default")
	flags.StringVar(&snapshot, "restore", "", "`file` with a snapshot to begin with")
	fsync := flags.Bool("fsync", false, "write to the disk before answering, as etcd does; a kill loses nothing without it")
	if err := flags.Parse(args); err != nil {
		return nil, "", err
	}
	config.UnsafeNoFsync = !*fsync
	config.BcryptCost = 4 // the lowest: the passwords of tests are no secrets
	clientURL, err := url.Parse(*client)
	if err != nil {
		return nil, "", err
	}
	peerURL, err := url.Parse(*peer)
	if err != nil {
		return nil, "", err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*peerURL}
	return config, snapshot, nil
}
