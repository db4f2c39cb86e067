// Package keystest has what tests of keys need: ready-made private keys, a clock that
// the test moves, and a valid policy.
//
// The private keys are in the repository, so everyone can read them. Never use them
// outside of tests.
package keystest

import (
	"embed"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

//go:embed testdata/rsa2048-*.pem
var ready embed.FS

const readyKeys = 16

// RSA returns the i-th ready-made RSA-2048 key for alg, counted from 0.
func RSA(alg jwk.Algorithm, i int) (jwk.PrivateKey, error) {
	if i >= readyKeys {
		return jwk.PrivateKey{}, fmt.Errorf("there are %d ready-made keys, not %d: add some to testdata", readyKeys, i+1)
	}
	data, err := ready.ReadFile(fmt.Sprintf("testdata/rsa2048-%02d.pem", i))
	if err != nil {
		return jwk.PrivateKey{}, err
	}
	block, _ := pem.Decode(data)
	return jwk.ParsePKCS8(alg, block.Bytes)
}

// Generator returns a function for keys.Options.Generate. It returns the ready-made
// RSA-2048 keys one after another, each once, and generates all other keys.
func Generator() func(jwk.Algorithm, int) (jwk.PrivateKey, error) {
	var mu sync.Mutex
	next := 0
	return func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
		if alg.KeyType() != "RSA" || size != 2048 {
			return jwk.Generate(alg, size)
		}
		mu.Lock()
		defer mu.Unlock()
		next++
		return RSA(alg, next-1)
	}
}

// Clock is a wall clock that stands still until the test moves it. Its methods may be
// called from many goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock at noon of a fixed day.
func NewClock() *Clock {
	return &Clock{now: time.Date(2030, time.March, 4, 12, 0, 0, 0, time.UTC)}
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, backward if d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Policy is a valid policy with the given rotation interval, and with the algorithm
// whose keys are the quickest to generate.
func Policy(rotationInterval time.Duration) keys.Policy {
	p, err := keys.NewPolicy(keys.Settings{
		RotationInterval: rotationInterval,
		Algorithm:        jwk.EdDSA,
		Issuer:           "https://issuer.example",
	})
	if err != nil {
		panic(err) // the interval is a constant of a test
	}
	return p
}
