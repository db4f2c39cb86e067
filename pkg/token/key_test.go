package token_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func TestSelectKey(t *testing.T) {
	private, other := keys()[jwk.RS256], foreignKeys()[jwk.RS256]
	kid := private.KeyID()
	same := map[string]any{"kid": kid}
	plain := private.Public()
	ec := foreign(t, keys()[jwk.ES256], same)
	ps := foreign(t, keys()[jwk.PS256], same)
	enc := foreign(t, other, map[string]any{"kid": kid, "use": "enc"})
	signs := foreign(t, other, map[string]any{"kid": kid, "key_ops": []string{"sign"}, "use": nil})
	rival := foreign(t, other, same)
	anyAlg := foreign(t, private, map[string]any{"alg": nil})

	tests := []struct {
		name string
		kid  string
		keys []jwk.PublicKey
		want token.Reason
		key  jwk.PublicKey
	}{
		{name: "one", kid: kid, keys: []jwk.PublicKey{plain}, key: plain},
		{name: "ok-alg from the key type", kid: kid, keys: []jwk.PublicKey{anyAlg}, key: anyAlg},
		{name: "kid-unknown", kid: kid, want: token.ReasonKidUnknown},
		{name: "kid-missing/no key", want: token.ReasonKidMissing},
		{name: "ok-kid-missing", keys: []jwk.PublicKey{plain}, key: plain},
		{name: "ok-kid-missing/one usable", keys: []jwk.PublicKey{ec, enc, plain}, key: plain},
		{name: "kid-missing/several keys", keys: []jwk.PublicKey{plain, rival}, want: token.ReasonKidAmbiguous},
		{name: "jwks-decoy-kid/first", kid: kid, keys: []jwk.PublicKey{plain, ec, ps, enc, signs}, key: plain},
		{name: "jwks-decoy-kid/last", kid: kid, keys: []jwk.PublicKey{ec, ps, enc, signs, plain}, key: plain},
		{name: "jwks-decoy-kid/same kty and alg", kid: kid, keys: []jwk.PublicKey{plain, rival}, want: token.ReasonKidAmbiguous},
		{name: "jwks-decoy-kid/the same key", kid: kid, keys: []jwk.PublicKey{plain, plain}, want: token.ReasonKidAmbiguous},
		{name: "jwks-use-enc", kid: kid, keys: []jwk.PublicKey{enc}, want: token.ReasonAlgUnfit},
		{name: "jwks-use-enc/key_ops", kid: kid, keys: []jwk.PublicKey{signs}, want: token.ReasonAlgUnfit},
		{name: "zero key", kid: kid, keys: []jwk.PublicKey{{}}, want: token.ReasonAlgUnfit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := token.SelectKey(test.keys, test.kid, jwk.RS256)
			if test.want == "" {
				if err != nil || !got.Equal(test.key) {
					t.Errorf("selected %s, %v", got.KeyID(), err)
				}
				return
			}
			if refusal, ok := errors.AsType[*token.Refusal](err); !ok || refusal.Reason != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// failing is a KeySource that has an error only.
type failing struct{ err error }

func (f failing) Keys(context.Context, string) ([]jwk.PublicKey, error) { return nil, f.err }

// withdrawn is how a source says that it pulled a key.
type withdrawn string

func (w withdrawn) Error() string     { return "key withdrawn" }
func (w withdrawn) Withdrawn() string { return string(w) }

func TestSourceErrors(t *testing.T) {
	compact := good(jwk.RS256).String()

	v := verifier()
	v.Keys = failing{errors.Join(errors.New("layer"), withdrawn("revoked: laptop lost"))}
	verdict, err := v.Verify(t.Context(), compact)
	if refusal, ok := errors.AsType[*token.Refusal](err); !ok || refusal.Reason != token.ReasonKeyWithdrawn || verdict.Reason != token.ReasonKeyWithdrawn {
		t.Errorf("withdrawn key: %v", err)
	}

	cause := errors.New("connection refused")
	v.Keys = failing{cause}
	verdict, err = v.Verify(t.Context(), compact)
	if !errors.Is(err, token.ErrKeysUnavailable) || !errors.Is(err, cause) {
		t.Errorf("unavailable keys: %v", err)
	}
	if _, ok := errors.AsType[*token.Refusal](err); ok || verdict.Reason != "" {
		t.Errorf("unavailable keys gave a verdict: %+v", verdict)
	}
}

// TestOrder has tokens fail in several ways: the first in the order of the classes
// gives the reason, and nothing after the signature is judged before it.
func TestOrder(t *testing.T) {
	bad := good(jwk.RS256).claim("exp", at(-1)).claim("nbf", at(1e9)).claim("iss", "x").claim("jti", nil).head("typ", "x")
	unavailable := failing{errors.New("down")}
	tests := []struct {
		name  string
		token string
		keys  token.KeySource
		want  []token.Reason
	}{
		{"malformed before algorithm", bad.head("alg", "none").head("kid", 1).String(), unavailable, []token.Reason{token.ReasonHeader}},
		{"payload before algorithm", func() string {
			d := bad.head("alg", "none")
			d.rawClaims = "[]"
			return d.String()
		}(), unavailable, []token.Reason{token.ReasonPayload}},
		{"algorithm before keys", bad.head("alg", "none").String(), unavailable, []token.Reason{token.ReasonAlgNone}},
		{"crit before keys", bad.head("crit", []string{"x"}).String(), unavailable, []token.Reason{token.ReasonCrit}},
		{"signature before claims", bad.input() + ".AAAA", verifier().Keys, []token.Reason{token.ReasonSignature}},
		{"all claims", bad.String(), verifier().Keys, []token.Reason{
			token.ReasonExpired, token.ReasonNotYetValid, token.ReasonClaimMissing, token.ReasonTyp, token.ReasonIssuer,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := verifier()
			v.Keys, v.Require = test.keys, []token.Requirement{{Claim: "jti"}}
			verdict, err := v.Verify(t.Context(), test.token)
			checkRefused(t, row{token: test.token, want: test.want[0], also: test.want[1:]}, verdict, err)
		})
	}
}
