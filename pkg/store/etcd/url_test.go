package etcd

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	for url, want := range map[string]string{
		"etcd://h1":                             "etcd://h1:2379/jwksctl",
		"etcd://h1/":                            "etcd://h1:2379/jwksctl",
		"etcd://h1/p":                           "etcd://h1:2379/p",
		"etcd://h1/p/q//":                       "etcd://h1:2379/p/q",
		"etcd://h1/p%20q":                       "etcd://h1:2379/p%20q",
		"etcd://h2,H1:2379,h2/p?tls=true":       "etcd://h1:2379,h2:2379/p",
		"etcd://10.0.0.1:1,[::1],[fd00::2]:3/p": "etcd://10.0.0.1:1,[::1]:2379,[fd00::2]:3/p",
		"etcd://h1/p?cacert=%2Fa&cert=b&key=c":  "etcd://h1:2379/p",
		"etcd://h1/p?user=me&password_file=f":   "etcd://h1:2379/p",
		"etcd://h1/p?tls=false":                 "etcd://h1:2379/p",
		"etcd://h1/p?cacert=a%40b":              "etcd://h1:2379/p",
		"etcd://":                               "",
	} {
		if got := Name(url); got != want {
			t.Errorf("Name(%q) = %q, want %q", url, got, want)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                                   "use etcd://",
		"etcd:h1/p":                          "use etcd://",
		"etcds://h1/p":                       "use etcd://",
		"etcd://":                            "lacks a host",
		"etcd:///p":                          "lacks a host",
		"etcd://h1,,h2/p":                    "lacks a host",
		"etcd://h1:/p":                       `"h1:" is not HOST`,
		"etcd://:2379/p":                     "is not HOST",
		"etcd://h1:0/p":                      "is not HOST",
		"etcd://h1:65536/p":                  "is not HOST",
		"etcd://h1:http/p":                   "is not HOST",
		"etcd://::1/p":                       "is not HOST",
		"etcd://[h1]/p":                      "is not HOST",
		"etcd://me:hunter2@h1/p":             "password_file=FILE",
		"etcd://me:hunter2?x@h1/p":           "password_file=FILE",
		"etcd://h1/p?cacert=a@hunter2":       "as %40",
		"etcd://h1/p@hunter2":                "password_file=FILE",
		"etcd://h1/p?password=hunter2":       "use password_file=FILE",
		"etcd://h1/p?pass=hunter2":           `unknown parameter "pass"`,
		"etcd://h1/p?user=me":                "both user=NAME and password_file=FILE",
		"etcd://h1/p?password_file=f":        "both user=NAME and password_file=FILE",
		"etcd://h1/p?cert=c":                 "both cert=FILE and key=FILE",
		"etcd://h1/p?key=c":                  "both cert=FILE and key=FILE",
		"etcd://h1/p?cacert=":                "cacert of the URL is empty",
		"etcd://h1/p?cacert=a&cacert=b":      "cacert twice",
		"etcd://h1/p?tls=yes":                "tls of the URL is true or false",
		"etcd://h1/p?tls=false&cacert=a":     "tls=false beside a certificate",
		"etcd://h1/p?user=%zzhunter2":        "NAME=VALUE&NAME=VALUE",
		"etcd://h1/p?user=me;password_file=": "NAME=VALUE&NAME=VALUE",
	} {
		err := CheckURL(url)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckURL(%q) = %v, want an error with %q", url, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error contains a password: %v", err)
		}
	}
}

func TestTLSIsOn(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "tls=false": false, "tls=true": true, "cacert=a": true, "cert=a&key=b": true,
	} {
		if a, err := parse("etcd://h1/p?" + query); err != nil || a.tls != want {
			t.Errorf("%q: TLS is %v, %v, want %v", query, a.tls, err, want)
		}
	}
}
