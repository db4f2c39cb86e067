//go:build bench && linux

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/server"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// work is what was done in some time.
type work struct {
	done        int64
	took, spent time.Duration // by the clock, and of processor time by this process
}

func (w *work) persecond() float64 { return float64(w.done) / w.took.Seconds() }

// each is the processor time of one.
func (w *work) each() time.Duration { return w.spent / time.Duration(w.done) }

// add has do done by one goroutine a processor, for a while.
func (w *work) add(d time.Duration, worker func() (do func())) {
	var done atomic.Int64
	var wg sync.WaitGroup
	workers := make([]func(), runtime.GOMAXPROCS(0))
	for i := range workers {
		workers[i] = worker()
	}
	start, before := time.Now(), processorTime()
	for _, do := range workers {
		wg.Go(func() {
			n := int64(0)
			for ; time.Since(start) < d; n++ {
				do()
			}
			done.Add(n)
		})
	}
	wg.Wait()
	w.done += done.Load()
	w.took += time.Since(start)
	w.spent += processorTime() - before
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it takes no argument that could be wrong
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchRing is a keyset in memory.
func benchRing(t *testing.T, alg jwk.Algorithm) *keys.Ring {
	t.Helper()
	policy, err := keys.NewPolicy(keys.Settings{Algorithm: alg, Issuer: "http://127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Create(t.Context(), keys.Options{Store: memory.New(time.Now), Sealer: sealer, Generate: keystest.Generator()}, policy)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// authHandler is POST /auth without a network.
func authHandler(t *testing.T, alg jwk.Algorithm) func() func() {
	t.Helper()
	h := server.New(server.Options{Ring: benchRing(t, alg)}).Handler()
	return func() func() {
		r, w := httptest.NewRequest(http.MethodPost, "/auth", nil), &sink{header: http.Header{}}
		return func() {
			clear(w.header)
			h.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				panic("/auth did not answer 200") // in a goroutine of its own, where a test cannot be failed
			}
		}
	}
}

// sink is a response that nobody reads.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

// rawSignature is what the standard library alone does for the same signature.
func rawSignature(t *testing.T, alg jwk.Algorithm) func() func() {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jwk.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jwk.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	input := make([]byte, 240) // as long as the header and claims of a bare token
	sign := func() ([]byte, error) {
		digest := sha256.Sum256(input)
		return key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if alg == jwk.EdDSA {
		sign = func() ([]byte, error) { return key.Sign(rand.Reader, input, crypto.Hash(0)) }
	}
	return func() func() {
		return func() {
			if _, err := sign(); err != nil {
				panic(err)
			}
		}
	}
}

// decision is one look of the schedule at a keyset in which nothing is due,
// which is what a server does each second.
func decision(t *testing.T) func() {
	t.Helper()
	ks, now := benchRing(t, jwk.RS256).Keyset(), time.Now()
	ks.Policy.ExpiredTokens = false // or its making would be due
	return func() {
		if _, effect, _ := ks.Advance(now, keys.StepInput{}); !effect.Empty() {
			panic("a step was due")
		}
	}
}

// signingKey is the ring's part in each token.
func signingKey(t *testing.T) func() {
	t.Helper()
	ring := benchRing(t, jwk.RS256)
	return func() {
		if _, _, _, err := ring.SigningKey(t.Context()); err != nil {
			panic(err)
		}
	}
}

// jwksBytes makes the bytes of a JWK Set of n RSA keys.
func jwksBytes(t *testing.T, n int) func() {
	t.Helper()
	var set jwk.Set
	for i := range n {
		key, err := keystest.RSA(jwk.RS256, i)
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, key.Public())
	}
	return func() {
		if _, err := json.Marshal(set); err != nil {
			panic(err)
		}
	}
}

// cost is the processor time that do takes.
func cost(do func()) time.Duration {
	const least = 500 * time.Millisecond
	for n := 1; ; n *= 2 {
		before := processorTime()
		for range n {
			do()
		}
		if used := processorTime() - before; used > least {
			return used / time.Duration(n)
		}
	}
}
