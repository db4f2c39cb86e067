package postgres

import (
	"crypto/fips140"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestWithoutMD5(t *testing.T) {
	for required, want := range map[string]string{
		"":                        "!md5",
		"!none":                   "!none,!md5",
		"!md5":                    "!md5",
		"!none,!md5":              "!none,!md5",
		"md5,scram-sha-256":       "scram-sha-256",
		"password, scram-sha-256": "password,scram-sha-256",
	} {
		if got, err := withoutMD5(required); err != nil || got != want {
			t.Errorf("%q gives %q, %v, want %q", required, got, err, want)
		}
	}
	if got, err := withoutMD5("md5"); err == nil {
		t.Errorf("md5 alone gives %q", got)
	}
}

// With GODEBUG=fips140=only, a server that asks for an MD5 password is an error with its
// reason. The mode cannot be changed in a process, so the test runs itself again.
func TestAnMD5PasswordIsRefused(t *testing.T) {
	if !fips140.Enforced() {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("with GODEBUG=fips140=only: %v\n%s", err, out)
		}
		return
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the test ends
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))                                        // the startup message
			_, _ = conn.Write([]byte{'R', 0, 0, 0, 12, 0, 0, 0, 5, 's', 'a', 'l', 't'}) // AuthenticationMD5Password
			_, _ = conn.Read(make([]byte, 1024))                                        // until the client hangs up
			_ = conn.Close()
		}
	}()
	_, err = Open(t.Context(), "postgres://me:secret@"+listener.Addr().String()+"/db?sslmode=disable")
	if err == nil || !strings.Contains(err.Error(), "asks for an MD5 password, which GODEBUG=fips140=only forbids") {
		t.Errorf("Open = %v", err)
	}
}
