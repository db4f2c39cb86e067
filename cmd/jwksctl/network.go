package main

import (
	"crypto/x509"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/remote"
)

// networkFlags say how a command fetches from another server.
type networkFlags struct {
	insecureHTTP bool
	caFile       string
	timeout      durationFlag
}

func (n *networkFlags) register(f *pflag.FlagSet) {
	n.timeout.d = 5 * time.Second
	f.BoolVar(&n.insecureHTTP, "insecure-http", false, "allow plain http, also to other machines")
	f.StringVar(&n.caFile, "ca-file", "", "trust the certificate authorities in this PEM file instead of the system's")
	f.Var(&n.timeout, "timeout", "how long an answer may take")
}

func (n networkFlags) options() (remote.Options, error) {
	if n.timeout.d == 0 {
		return remote.Options{}, badUsage("--timeout: must be more than 0s")
	}
	o := remote.Options{InsecureHTTP: n.insecureHTTP, Timeout: n.timeout.d}
	if n.caFile == "" {
		return o, nil
	}
	var err error
	o.RootCAs, err = authorities(n.caFile)
	return o, err
}

// authorities reads the certificates that --ca-file names.
func authorities(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, badUsage("--ca-file: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, badUsage("--ca-file: %s has no certificate in PEM", path)
	}
	return pool, nil
}

// isURL tells a URL from the name of a file.
func isURL(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && !strings.ContainsAny(scheme, "/.")
}
