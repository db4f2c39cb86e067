package main

import (
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/net/http/httpguts"

	"github.com/jwksctl/jwksctl/pkg/remote"
)

// networkFlags say how a command fetches from another server.
type networkFlags struct {
	insecureHTTP bool
	caFile       string
	timeout      durationFlag
	headers      []string
}

func (n *networkFlags) register(f *pflag.FlagSet) {
	n.timeout.d = 5 * time.Second
	f.BoolVar(&n.insecureHTTP, "insecure-http", false, "allow plain http, also to other machines")
	f.StringVar(&n.caFile, "ca-file", "", "trust the certificate authorities in this PEM file instead of the system's")
	f.Var(&n.timeout, "timeout", "how long an answer may take")
	f.StringArrayVar(&n.headers, "jwks-header", nil, "header to send with the request for the JWK Set, as 'NAME: @FILE'; may be repeated")
}

func (n networkFlags) options() (remote.Options, error) {
	if n.timeout.d == 0 {
		return remote.Options{}, badUsage("--timeout: must be more than 0s")
	}
	o := remote.Options{InsecureHTTP: n.insecureHTTP, Timeout: n.timeout.d}
	var err error
	if o.Header, err = n.readHeaders(); err != nil || n.caFile == "" {
		return o, err
	}
	o.RootCAs, err = authorities(n.caFile)
	return o, err
}

// readHeaders reads the values of --jwks-header. They are secrets, so they are in files
// and not on the command line, which other users of the machine can see.
func (n networkFlags) readHeaders() (http.Header, error) {
	header := make(http.Header)
	for _, text := range n.headers {
		name, path, ok := strings.Cut(text, ":")
		path, isFile := strings.CutPrefix(strings.TrimSpace(path), "@")
		if !ok || !isFile || !httpguts.ValidHeaderFieldName(name) {
			return nil, badUsage("--jwks-header: use 'NAME: @FILE'; the value is read from a file, because other users can see the arguments of a process")
		}
		data, err := readFile(path)
		if err != nil {
			return nil, badUsage("--jwks-header: %v", err)
		}
		value := strings.TrimSpace(string(data))
		if value == "" || !httpguts.ValidHeaderFieldValue(value) {
			return nil, badUsage("--jwks-header: %s is not one line of text", path)
		}
		header.Add(name, value)
	}
	return header, nil
}

// checkHeaders refuses --jwks-header if no source is a URL. With --discover, the metadata
// would decide which host receives the secret.
func (n networkFlags) checkHeaders(sources ...string) error {
	if len(n.headers) > 0 && !slices.ContainsFunc(sources, isURL) {
		return badUsage("--jwks-header: the JWK Set is not fetched from a URL that was given")
	}
	return nil
}

// authorities reads the certificates that --ca-file names.
func authorities(path string) (*x509.CertPool, error) {
	data, err := readFile(path)
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
