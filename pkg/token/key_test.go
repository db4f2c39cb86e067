package token_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func TestSelectKey(t *testing.T) {
	private, other := keys()[jwk.RS256], keys()[jwk.RS384]
	kid := private.KeyID()
	same := map[string]any{"kid": kid}
	public := private.Public()
	ec := withMembers(t, keys()[jwk.ES256], same)
	ps := withMembers(t, keys()[jwk.PS256], same)
	enc := withMembers(t, other, map[string]any{"kid": kid, "alg": "RS256", "use": "enc"})
	signs := withMembers(t, other, map[string]any{"kid": kid, "alg": "RS256", "key_ops": []string{"sign"}, "use": nil})
	second := withMembers(t, other, map[string]any{"kid": kid, "alg": "RS256"})
	anyAlg := withMembers(t, private, map[string]any{"alg": nil})

	tests := []struct {
		name string
		kid  string
		keys []jwk.PublicKey
		want token.Reason
		key  jwk.PublicKey
	}{
		{name: "one", kid: kid, keys: []jwk.PublicKey{public}, key: public},
		{name: "alg from the key type", kid: kid, keys: []jwk.PublicKey{anyAlg}, key: anyAlg},
		{name: "no keys", kid: kid, want: token.ReasonKidUnknown},
		{name: "no kid, no keys", want: token.ReasonKidMissing},
		{name: "no kid, one key", keys: []jwk.PublicKey{public}, key: public},
		{name: "no kid, one usable key", keys: []jwk.PublicKey{ec, enc, public}, key: public},
		{name: "no kid, two keys", keys: []jwk.PublicKey{public, second}, want: token.ReasonKidAmbiguous},
		{name: "shared kid, first", kid: kid, keys: []jwk.PublicKey{public, ec, ps, enc, signs}, key: public},
		{name: "shared kid, last", kid: kid, keys: []jwk.PublicKey{ec, ps, enc, signs, public}, key: public},
		{name: "shared kid, same kty and alg", kid: kid, keys: []jwk.PublicKey{public, second}, want: token.ReasonKidAmbiguous},
		{name: "shared kid, the same key", kid: kid, keys: []jwk.PublicKey{public, public}, key: public},
		{name: "shared kid, the same key without alg", kid: kid, keys: []jwk.PublicKey{public, anyAlg}, key: public},
		{name: "use enc", kid: kid, keys: []jwk.PublicKey{enc}, want: token.ReasonAlgUnfit},
		{name: "key_ops sign", kid: kid, keys: []jwk.PublicKey{signs}, want: token.ReasonAlgUnfit},
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
			if reasonOf(t, err) != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// failing is a KeySource that always fails.
type failing struct{ err error }

func (f failing) Keys(context.Context, string) ([]jwk.PublicKey, error) { return nil, f.err }

func TestSourceErrors(t *testing.T) {
	compact := good(jwk.RS256).String()

	v := verifier()
	v.Keys = failing{errors.Join(errors.New("other error"), withdrawn("revoked: laptop lost"))}
	verdict, err := v.Verify(t.Context(), compact)
	if reasonOf(t, err) != token.ReasonKeyWithdrawn || verdict.Reason != token.ReasonKeyWithdrawn {
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

// TestOrder verifies tokens with several faults. The first class gives the reason, and
// claims are checked only after the signature.
func TestOrder(t *testing.T) {
	bad := good(jwk.RS256).claim("exp", at(-1)).claim("nbf", at(1e9)).claim("iss", "x").claim("jti", nil).head("typ", "x")
	unavailable := failing{errors.New("down")}
	tests := []struct {
		name  string
		token fmt.Stringer
		keys  token.KeySource
		want  []token.Reason
	}{
		{"malformed before algorithm", bad.head("alg", "none").head("kid", 1), unavailable, []token.Reason{token.ReasonHeader}},
		{"payload before algorithm", func() draft {
			d := bad.head("alg", "none")
			d.rawClaims = "[]"
			return d
		}(), unavailable, []token.Reason{token.ReasonPayload}},
		{"algorithm before keys", bad.head("alg", "none"), unavailable, []token.Reason{token.ReasonAlgNone}},
		{"crit before keys", bad.head("crit", []string{"x"}), unavailable, []token.Reason{token.ReasonCrit}},
		{"signature before claims", text(bad.input() + ".AAAA"), verifier().Keys, []token.Reason{token.ReasonSignature}},
		{"all claims", bad, verifier().Keys, []token.Reason{
			token.ReasonExpired, token.ReasonNotYetValid, token.ReasonClaimMissing, token.ReasonTyp, token.ReasonIssuer,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := verifier()
			v.Keys, v.Require = test.keys, []token.Requirement{{Claim: "jti"}}
			checkVerdict(t, v, row{name: test.name, token: test.token, want: test.want})
		})
	}
}
