package etcdtest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/jwksctl/jwksctl/pkg/store/etcdcluster"
)

// authority is a certificate authority with its files.
type authority struct {
	t           *testing.T
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.certificate, a.key = a.issue("ca", &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// path is the file NAME.crt or NAME.key.
func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// host issues a certificate for a server on loopback, user one for a client.
func (a *authority) host(name string) {
	a.issue(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) user(name string) {
	a.issue(name, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a *authority) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certificate, key
}

// url adds the parameters for TLS with the certificate of a user.
func (a *authority) url(base, user string) string {
	return base + "?cacert=" + a.path("ca.crt") + "&cert=" + a.path(user+".crt") + "&key=" + a.path(user+".key")
}

// secure starts a cluster of one member with TLS, which refuses clients without a certificate.
func (a *authority) secure() *etcdcluster.Cluster {
	a.t.Helper()
	a.host("member")
	a.t.Parallel()
	return etcdcluster.Start(a.t, etcdcluster.Options{
		Program: program, Members: 1, Args: []string{"-client-certs"},
		CACert: a.path("ca.crt"), Cert: a.path("member.crt"), Key: a.path("member.key"),
	})
}

// Client certificates alone log in: the common name is the user.
func TestRolesWithCertificates(t *testing.T) {
	a := newAuthority(t)
	cluster := a.secure()
	certificate, err := tls.LoadX509KeyPair(a.path("member.crt"), a.path("member.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	enableAuth(t, cluster, clientv3.Config{TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}})
	a.user("signer")
	a.user("reader")
	a.user("stranger")
	checkRoles(t, a.url(cluster.URL("/p"), "signer"), a.url(cluster.URL("/p"), "reader"))
	_, err = open(t, a.url(cluster.URL("/p"), "stranger")).Load(t.Context())
	wantProblem(t, err, "the store does not permit this access")
}

func TestTLSErrors(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	cluster := a.secure()
	plain := etcdcluster.Start(t, etcdcluster.Options{Program: program, Members: 1})
	a.user("us")
	other.user("us")
	for _, tt := range []struct{ name, url, want string }{
		{"right", a.url(cluster.URL("/p"), "us"), ""},
		{
			"without a certificate", cluster.URL("/p") + "?cacert=" + a.path("ca.crt"),
			"the store refuses our certificate",
		},
		{
			"with the certificate of another authority",
			cluster.URL("/p") + "?cacert=" + a.path("ca.crt") + "&cert=" + other.path("us.crt") + "&key=" + other.path("us.key"),
			"the store refuses our certificate",
		},
		{"that trusts another authority", other.url(cluster.URL("/p"), "us"), "the certificate of the store is not trusted"},
		{"that trusts the system", cluster.URL("/p") + "?tls=true", "the certificate of the store is not trusted"},
		{"with another name", a.url("etcd://localhost:"+port(cluster)+"/p", "us"), "the certificate of the store is not trusted"},
		{"without TLS", cluster.URL("/p"), "the store does not answer"},
		{"with TLS where there is none", a.url(plain.URL("/p"), "us"), "the TLS handshake with the store fails"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, tt.url)
			// gRPC may write to a connection that the server has refused before it reads why.
			eventually(t, tt.want, func() bool {
				err := s.Swap(t.Context(), change(0, "one"))
				if tt.want == "" || err == nil {
					return tt.want == "" && err == nil
				}
				return asStoreError(t, err).Problem == tt.want
			})
		})
	}
}

// The files are read for each connection: a certificate that is renewed is used without
// a restart.
func TestCertificatesAreReadAgain(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	cluster := a.secure()
	a.user("us")
	other.user("us")
	s := open(t, other.url(cluster.URL("/p"), "us"))
	_, err := s.Load(t.Context())
	wantProblem(t, err, "the certificate of the store is not trusted")
	copyFile(t, a.path("ca.crt"), other.path("ca.crt"))
	eventually(t, "the new authority is read", func() bool {
		_, err = s.Load(t.Context())
		return asStoreError(t, err).Problem == "the store refuses our certificate"
	})
	copyFile(t, a.path("us.crt"), other.path("us.crt"))
	eventually(t, "a certificate without its key is refused", func() bool {
		_, err = s.Load(t.Context())
		return asStoreError(t, err).Problem == "a file with credentials for the store cannot be used"
	})
	copyFile(t, a.path("us.key"), other.path("us.key"))
	eventually(t, "the new certificate is read", func() bool {
		return s.Swap(t.Context(), change(0, "one")) == nil
	})
}
