// Package programtest is for tests that start programs which are not ours, such as
// PostgreSQL, etcd, nginx and openssl: what to do if one is not installed, and ports for
// those that cannot choose one themselves. A server that can choose listens on port 0.
package programtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"testing"
)

// The ports lie below those that systems give to port 0 and to outgoing connections.
// Otherwise a connection might take a port before its program starts, or while the program
// is down.
const first, last = 10_000, 32_000

// Addresses returns n addresses of the form 127.0.0.1:PORT, with ports on which nothing
// listens.
func Addresses(t testing.TB, n int) (addresses []string) {
	t.Helper()
	for range 100 * n {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.N(last-first)) //nolint:gosec // a port is no secret
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		defer l.Close() //nolint:errcheck // nothing connected
		if addresses = append(addresses, address); len(addresses) == n {
			return addresses
		}
	}
	t.Fatalf("found %d free ports of %d", len(addresses), n)
	return nil
}

// Port returns a port of 127.0.0.1 on which nothing listens.
func Port(t testing.TB) int {
	t.Helper()
	address, err := net.ResolveTCPAddr("tcp", Addresses(t, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	return address.Port
}

// Missing ends a test that needs a program that is not installed: it skips the test, or
// fails it in CI on Linux.
func Missing(t testing.TB, message string) {
	t.Helper()
	if runtime.GOOS == "linux" && os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Skip(message)
}
