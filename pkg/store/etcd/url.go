package etcd

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	scheme        = "etcd://"
	defaultPort   = "2379"
	defaultPrefix = "/jwksctl"
)

// address is what a URL says.
type address struct {
	endpoints []string // HOST:PORT
	prefix    string   // begins with a slash and does not end with one
	tls       bool

	cacert, cert, key  string // files
	user, passwordFile string
}

// CheckURL returns an error if url is not one of a store in etcd. It opens nothing. The
// error does not contain values of the URL that may be secret.
func CheckURL(url string) error {
	_, err := parse(url)
	return err
}

// Name returns what identifies the store at url, without user and credentials. It is
// equal for two URLs that list the same members in another order. It returns "" if url
// is not one of a store in etcd.
func Name(url string) string {
	a, err := parse(url)
	if err != nil {
		return ""
	}
	return a.name()
}

func (a address) name() string {
	return scheme + strings.Join(slices.Compact(slices.Sorted(slices.Values(a.endpoints))), ",") + a.prefix
}

// parse does not use url.Parse, which knows no list of hosts.
func parse(rawURL string) (address, error) {
	rest, ok := strings.CutPrefix(rawURL, scheme)
	if !ok {
		return address{}, errors.New("etcd: use etcd://HOST1,HOST2,HOST3/PREFIX")
	}
	if strings.Contains(rest, "@") { // also after a ?, which may be a part of a password
		return address{}, errors.New("etcd: the URL has an @: give the user as ?user=NAME&password_file=FILE, and write an @ in a name as %40")
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, prefix, _ := strings.Cut(rest, "/")
	a := address{prefix: "/" + strings.TrimRight(prefix, "/")}
	if a.prefix == "/" {
		a.prefix = defaultPrefix
	}
	for host := range strings.SplitSeq(hosts, ",") {
		endpoint, err := endpoint(host)
		if err != nil {
			return address{}, err
		}
		a.endpoints = append(a.endpoints, endpoint)
	}
	if err := a.parseQuery(query); err != nil {
		return address{}, err
	}
	return a, a.check()
}

// endpoint adds the default port to a host that has none.
func endpoint(host string) (string, error) {
	if host == "" {
		return "", errors.New("etcd: the URL lacks a host: use etcd://HOST1,HOST2,HOST3/PREFIX")
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), defaultPort
		if strings.Contains(name, ":") != strings.HasPrefix(host, "[") {
			return "", fmt.Errorf("etcd: %q is not HOST or HOST:PORT", host)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || name == "" {
		return "", fmt.Errorf("etcd: %q is not HOST or HOST:PORT", host)
	}
	return net.JoinHostPort(strings.ToLower(name), port), nil
}

func (a *address) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil { // it may quote a secret
		return errors.New("etcd: the part of the URL after ? is not NAME=VALUE&NAME=VALUE, percent-encoded")
	}
	fields := map[string]*string{
		"cacert": &a.cacert, "cert": &a.cert, "key": &a.key, "user": &a.user, "password_file": &a.passwordFile,
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values.Get(name)
		field, ok := fields[name]
		switch {
		case len(values[name]) > 1:
			return fmt.Errorf("etcd: the URL has the parameter %s twice", name)
		case ok && value == "":
			return fmt.Errorf("etcd: the parameter %s of the URL is empty", name)
		case ok:
			*field = value
		case name == "tls" && (value == "true" || value == "false"):
			a.tls = value == "true"
		case name == "tls":
			return errors.New("etcd: the parameter tls of the URL is true or false")
		case name == "password":
			return errors.New("etcd: a password may not stand in the URL: use password_file=FILE")
		default:
			return fmt.Errorf("etcd: the URL has an unknown parameter %q: use cacert, cert, key, tls, user or password_file", name)
		}
	}
	if values.Get("tls") == "false" && a.usesTLS() {
		return errors.New("etcd: the URL has tls=false beside a certificate: remove one of them")
	}
	a.tls = a.usesTLS()
	return nil
}

func (a *address) usesTLS() bool { return a.tls || a.cacert != "" || a.cert != "" || a.key != "" }

// check returns an error for parameters that belong together and do not stand together.
func (a *address) check() error {
	switch {
	case (a.cert == "") != (a.key == ""):
		return errors.New("etcd: the URL needs both cert=FILE and key=FILE, or none of them")
	case (a.user == "") != (a.passwordFile == ""):
		return errors.New("etcd: the URL needs both user=NAME and password_file=FILE, or none of them")
	}
	return nil
}
