package fault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// verifier is what the manifest says that a verifier must know.
func verifier(g fault.Gallery, profile token.Profile) token.Verifier {
	m := g.Manifest
	return token.Verifier{
		Keys: source{g}, Issuer: m.Issuer, Audience: m.Audience, Profile: profile,
		Leeway: 30 * time.Second, Now: func() time.Time { return m.Time },
	}
}

// TestOwnVerifier has our verifier judge the whole gallery: no wrong verdict.
func TestOwnVerifier(t *testing.T) {
	g := mustGallery(t)
	for _, entry := range g.Manifest.Cases {
		t.Run(entry.Name, func(t *testing.T) {
			verdict, err := verifier(g, entry.Profile).Verify(t.Context(), g.Tokens[entry.File])
			if _, refused := errors.AsType[*token.Refusal](err); err != nil && !refused {
				t.Fatalf("not judged: %v", err)
			}
			switch entry.Verdict {
			case fault.MustReject, fault.Reject:
				if verdict.Valid {
					t.Error("accepted")
				}
			case fault.MustAccept, fault.Accept:
				if err != nil {
					t.Errorf("refused: %v", err)
				}
			case fault.Either:
				t.Logf("either is lawful; ours: valid %t, %s", verdict.Valid, verdict.Reason)
			}
		})
	}
}

// TestOneKey has a verifier that knows one key accept a token without a kid.
func TestOneKey(t *testing.T) {
	g := mustGallery(t)
	g.Keys = jwk.Set{Keys: g.Keys.Keys[:1]}
	if _, err := verifier(g, "").Verify(t.Context(), g.Tokens["ok-kid-missing.jwt"]); err != nil {
		t.Error(err)
	}
}

// TestRefusedForItsFault pins for what our verifier refuses each token: a fault that
// is hidden behind another one tests nothing.
func TestRefusedForItsFault(t *testing.T) {
	g := mustGallery(t)
	var lines string
	for _, entry := range g.Manifest.Cases {
		line := entry.Name
		verdict, _ := verifier(g, entry.Profile).Verify(t.Context(), g.Tokens[entry.File])
		for _, failed := range verdict.Errors {
			line += " " + string(failed.Reason)
		}
		lines += line + "\n"
	}
	golden(t, "reasons.golden", lines)
}
