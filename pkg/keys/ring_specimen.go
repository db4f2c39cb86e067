package keys

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Specimen signs tokens "with an expired key": with the specimen, a key that was
// never published, and with times so far back that a token that is valid for ttl
// expired one hour ago. A ttl of 0 means token_ttl.
func (r *Ring) Specimen(ttl time.Duration) *SpecimenSigner { return &SpecimenSigner{r, ttl} }

// SpecimenSigner satisfies token.Signer.
type SpecimenSigner struct {
	ring *Ring
	ttl  time.Duration
}

// SigningKey waits until there is a specimen, or ctx is done.
func (s *SpecimenSigner) SigningKey(ctx context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	for {
		changed := s.ring.viewChanged.wait()
		v, at := s.ring.view.Load(), s.ring.clock.read()
		switch {
		case s.ring.reader:
			return key, now, latest, ErrReader
		case v.fence(at) != nil:
			return key, now, latest, v.fence(at)
		case !v.ks.Policy.ExpiredTokens:
			return key, now, latest, ErrNoSpecimen
		case v.ks.Specimen != nil:
			k := v.privateKeys[v.ks.Specimen.KeyID()]
			if k.err != nil {
				return key, now, latest, fmt.Errorf("%w: specimen: %v", ErrUnreadable, k.err)
			}
			ttl := s.ttl
			if ttl == 0 {
				ttl = v.ks.Policy.TokenTTL
			}
			end := at.wall.Add(-time.Hour)
			return k.key, end.Add(-ttl), end, nil
		}
		select {
		case <-ctx.Done():
			return key, now, latest, fmt.Errorf("%w: the expired key is not generated yet", ErrUnavailable)
		case <-changed:
		}
	}
}

// broadcast wakes all waiting goroutines.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that the next wake closes.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
