package fault_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestGolangJWT verifies the gallery with the parser of golang-jwt, once as its README
// shows, and once with its strictest settings. The golden file lists the wrong verdicts,
// which our own checks must prevent.
func TestGolangJWT(t *testing.T) {
	g := mustGallery(t)
	keyfunc := func(parsed *jwt.Token) (any, error) {
		kid, _ := parsed.Header["kid"].(string)
		for _, key := range g.Keys.ByKeyID(kid) {
			return key.Material(), nil
		}
		return nil, fmt.Errorf("unknown kid %q", kid)
	}
	bare := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}),
		jwt.WithTimeFunc(func() time.Time { return g.Manifest.Time }),
	}
	strict := append(slices.Clip(bare),
		jwt.WithIssuer(g.Manifest.Issuer), jwt.WithAudience(g.Manifest.Audience...), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithLeeway(30*time.Second),
	)
	var lines string
	for _, setup := range []struct {
		name    string
		options []jwt.ParserOption
	}{{"bare", bare}, {"strict", strict}} {
		for _, entry := range g.Manifest.Cases {
			_, err := jwt.Parse(g.Tokens[entry.File], keyfunc, setup.options...)
			switch {
			case err == nil && entry.Answer == "reject":
				lines += setup.name + " accepts " + entry.Name + "\n"
			case err != nil && entry.Answer == "accept":
				lines += setup.name + " refuses " + entry.Name + "\n"
			}
		}
	}
	golden(t, "golang-jwt.golden", lines)
}
