package token

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

type hourSigner struct{ jwk.PrivateKey }

func (s hourSigner) SigningKey(context.Context) (jwk.PrivateKey, time.Time, time.Time, error) {
	now := time.Now()
	return s.PrivateKey, now, now.Add(time.Hour), nil
}

// What is refused for its size must not take room for the rest of a Minter's life.
func TestMinterKeepsNoRoomForWhatIsRefused(t *testing.T) {
	key, err := jwk.Generate(jwk.EdDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	var m Minter
	b, _, err := m.Append(t.Context(), nil, hourSigner{key}, Request{Subject: strings.Repeat("x", DefaultMaxSize)})
	if err == nil {
		t.Error("it was not refused")
	}
	if room := cap(m.claims) + cap(b); room > 0 {
		t.Errorf("%d bytes are kept", room)
	}
	if _, _, err := m.Append(t.Context(), make([]byte, DefaultMaxSize), hourSigner{key}, Request{}); err != nil {
		t.Errorf("what stands before a token is held against it: %v", err)
	}
}
