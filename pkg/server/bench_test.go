package server

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// listen serves h on loopback and gives its base URL.
func listen(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout}
	go func() { _ = srv.Serve(l) }()
	b.Cleanup(func() { _ = srv.Close() })
	return "http://" + l.Addr().String()
}

// BenchmarkJWKS asks over loopback, one request after another, for the JWK Set
// and for the same bytes from a bare handler.
func BenchmarkJWKS(b *testing.B) {
	s := New(Options{Ring: newRing(b, time.Now, keys.Settings{})})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/jwks", nil))
	body, etag := w.Body.Bytes(), w.Header().Get("Etag")
	header := w.Header()

	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for _, name := range []string{"Cache-Control", "Etag", "Access-Control-Allow-Origin"} {
			h[name] = header[name]
		}
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h["Content-Type"], h["Content-Length"] = header["Content-Type"], header["Content-Length"]
		_, _ = w.Write(body)
	})
	for _, handler := range []struct {
		name string
		http.Handler
	}{{"ours", s.Handler()}, {"bare", bare}} {
		url := listen(b, handler)
		for status, tag := range map[string]string{"200": "", "304": etag} {
			b.Run(status+"/"+handler.name, func(b *testing.B) { ask(b, url+"/jwks", tag) })
		}
		b.Run("handler/"+handler.name, func(b *testing.B) {
			r, w := httptest.NewRequest(http.MethodGet, "/jwks", nil), &bareWriter{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				handler.ServeHTTP(w, r)
			}
		})
	}
}

func ask(b *testing.B, url, etag string) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	for b.Loop() {
		response, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// BenchmarkAuth gives out tokens, and makes the raw signatures that are in them.
func BenchmarkAuth(b *testing.B) {
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		ring := newRing(b, time.Now, keys.Settings{Algorithm: alg})
		h := New(Options{Ring: ring}).Handler()
		b.Run(alg.String()+"/handler", func(b *testing.B) {
			r, w := httptest.NewRequest(http.MethodPost, "/auth", nil), &bareWriter{http.Header{}}
			for b.Loop() {
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
		b.Run(alg.String()+"/raw", func(b *testing.B) {
			key, _, _, err := ring.SigningKey(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			input := make([]byte, 256)
			for b.Loop() {
				if _, err := key.Sign(input); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
