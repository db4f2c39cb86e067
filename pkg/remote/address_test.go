package remote_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/remote"
)

func TestAddresses(t *testing.T) {
	tests := []struct {
		url      string
		insecure bool
		ok       bool
	}{
		{url: "https://example.com/jwks.json", ok: true},
		{url: "https://example.com:8443", ok: true},
		{url: "http://example.com/jwks.json"},
		{url: "http://example.com/jwks.json", insecure: true, ok: true},
		{url: "http://localhost:8080/jwks", ok: true},
		{url: "http://LOCALHOST/jwks", ok: true},
		{url: "http://127.0.0.1/jwks", ok: true},
		{url: "http://127.8.9.1/jwks", ok: true},
		{url: "http://[::1]:8080/jwks", ok: true},
		{url: "http://[::ffff:127.0.0.1]/jwks", ok: true},
		{url: "http://localhost.example.com/jwks"},
		{url: "http://127.0.0.1.example.com/jwks"},
		{url: "http://10.0.0.1/jwks"},
		{url: "http://0.0.0.0/jwks"},
		{url: "https://user:hunter2@example.com/jwks"},
		{url: "https://user:hunter2@example.com/jwks", insecure: true},
		{url: "https://user:hunter2@exa mple.com/jwks"},
		{url: "https://token-hunter2@example.com/jwks"},
		{url: "ftp://example.com/jwks?hunter2", insecure: true},
		{url: "file:///etc/passwd", insecure: true},
		{url: "https:///jwks"},
		{url: "https://:443/jwks"},
		{url: "example.com/jwks"},
		{url: "/jwks"},
		{url: ""},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			_, err := remote.New(tt.url, remote.Options{InsecureHTTP: tt.insecure})
			if tt.ok != (err == nil) {
				t.Fatalf("error is %v", err)
			}
			if err != nil && !errors.Is(err, remote.ErrAddress) {
				t.Errorf("error %v is not ErrAddress", err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q tells a secret", err)
			}
			if _, ferr := remote.Fetch(t.Context(), tt.url, remote.Options{}); err != nil && !tt.insecure && !errors.Is(ferr, remote.ErrAddress) {
				t.Errorf("Fetch answers %v", ferr)
			}
		})
	}
}
