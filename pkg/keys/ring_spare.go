package keys

import (
	"fmt"
	"sync"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// spareKey is a key that was generated before it is needed.
type spareKey struct {
	mu  sync.Mutex
	key jwk.PrivateKey
}

// get returns the key if there is one that matches the policy.
func (s *spareKey) get(p Policy) (jwk.PrivateKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key.IsZero() || !p.matchesKey(s.key.Public()) {
		return jwk.PrivateKey{}, false
	}
	return s.key, true
}

// getOrGenerate returns a key that matches the policy and generates it if there is
// none. The key stays the spare one until a document contains it, so that a swap
// that fails does not waste it. The mutex is not locked while a key is generated,
// which can take seconds.
func (s *spareKey) getOrGenerate(p Policy, generate func(jwk.Algorithm, int) (jwk.PrivateKey, error)) (jwk.PrivateKey, error) {
	if key, ok := s.get(p); ok {
		return key, nil
	}
	key, err := generate(p.Algorithm, p.KeySize)
	if err != nil {
		return jwk.PrivateKey{}, fmt.Errorf("generating a key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
	return key, nil
}

// dropUsed drops the key if the document contains it.
func (s *spareKey) dropUsed(ks Keyset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.key.IsZero() && ks.contains(s.key.KeyID()) {
		s.key = jwk.PrivateKey{}
	}
}
