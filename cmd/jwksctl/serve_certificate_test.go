package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// writePair writes a new certificate and its private key, as PEM, over these files.
func writePair(t *testing.T, serial int64, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "tokens.example.com"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"tokens.example.com"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		// Two files that are written within one tick of the disk's clock have one time.
		changed := time.Now().Add(time.Duration(serial) * time.Second)
		if err := os.Chtimes(file, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRenewedCertificateIsServed(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writePair(t, 1, at("a.crt"), at("a.key"))
	writePair(t, 2, at("b.crt"), at("b.key"))
	// Links, as Kubernetes has them: a renewal changes where they point.
	link := func(certFile, keyFile string) {
		for name, target := range map[string]string{"tls.crt": certFile, "tls.key": keyFile} {
			if err := os.Remove(at(name)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if err := os.Symlink(target, at(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	link("a.crt", "a.key")
	var log bytes.Buffer
	c, err := loadCertificate(config.Config{TLSCert: at("tls.crt"), TLSKey: at("tls.key")}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serves := func(want int64) {
		t.Helper()
		pair, err := c.tlsConfig().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if got := pair.Leaf.SerialNumber.Int64(); got != want {
			t.Errorf("the server has certificate %d, want %d", got, want)
		}
	}
	logged := func(want ...string) {
		t.Helper()
		lines := strings.Count(log.String(), "\n")
		for _, text := range want {
			if !strings.Contains(log.String(), text) || lines != 1 {
				t.Errorf("the log lacks %q in one line:\n%s", text, log.String())
			}
		}
		if len(want) == 0 && lines > 0 {
			t.Errorf("logged %s", log.String())
		}
		log.Reset()
	}

	serves(1)
	logged()
	link("b.crt", "b.key")
	serves(2)
	logged("certificate reloaded", "not_after=")
	serves(2)
	logged()

	// a pair that does not match, then an empty file, then none: one line
	link("a.crt", "b.key")
	serves(2)
	logged("certificate reload failed", "private key does not match", at("tls.crt"))
	if err := os.WriteFile(at("a.crt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	serves(2)
	if err := os.Remove(at("a.crt")); err != nil {
		t.Fatal(err)
	}
	serves(2)
	logged()

	// SIGHUP is answered in any case
	c.reloadNow(t.Context())
	logged("certificate reload failed", "no such file")
	writePair(t, 3, at("a.crt"), at("b.key"))
	c.reloadNow(t.Context())
	logged("certificate reloaded")
	serves(3)
	c.reloadNow(t.Context())
	logged("certificate reloaded")

	// the same file, written anew
	writePair(t, 4, at("a.crt"), at("b.key"))
	serves(4)
	logged("certificate reloaded")
}

// A server that is well passes its health check after each renewal.
func TestHealthcheckAfterRenewal(t *testing.T) {
	dir := t.TempDir()
	pair := []string{"--tls-cert", filepath.Join(dir, "tls.crt"), "--tls-key", filepath.Join(dir, "tls.key")}
	writePair(t, 1, pair[1], pair[3])
	p, _, _ := newProcess(t, "")
	listening, isListening := context.WithCancel(t.Context())
	log := &cancelOnText{text: `"msg":"listening"`, cancel: isListening}
	p.stderr = log
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan int, 1)
	go func() {
		defer isListening() // if it fails
		served <- execute(ctx, p, append([]string{"serve", "--port", "0"}, pair...))
	}()
	<-listening.Done()
	log.mu.Lock()
	port := regexp.MustCompile(`"url":"https://127.0.0.1:(\d+)"`).FindStringSubmatch(log.written.String())
	log.mu.Unlock()
	if port == nil {
		t.Fatalf("serve gives %d: %s", <-served, log.written.String())
	}
	for serial := range int64(3) {
		writePair(t, serial+2, pair[1], pair[3])
		check, _, output := newProcess(t, "")
		if code := execute(t.Context(), check, append([]string{"healthcheck", "--port", port[1]}, pair...)); code != exitDone {
			t.Errorf("healthcheck gives %d: %s", code, output)
		}
	}
	stop()
	if code := <-served; code != exitDone {
		t.Errorf("serve gives %d", code)
	}
}
