package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// vector is one of the tokens that the RFCs print, with our verdict.
type vector struct {
	Name    string
	Keys    json.RawMessage // a JWK Set; secrets in it are no keys to us
	Token   string
	Reason  token.Reason // why it is refused; "" if the signature is right
	Payload string       // what was signed
	JWT     bool         // the payload is claims
}

type vectorKeys struct{ jwk.Set }

func (k vectorKeys) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if kid == "" {
		return k.Set.Keys, nil
	}
	return k.ByKeyID(kid), nil
}

// TestVectors verifies the examples of RFC 7515, appendix A, RFC 7520, section 4, and
// RFC 8037, appendix A. Those that are JWTs expired on 22 March 2011, 18:43:00 UTC.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) != 16 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			set, _, err := jwk.ParseSet(v.Keys)
			if err != nil {
				t.Fatal(err)
			}
			jws, err := token.VerifySignature(t.Context(), vectorKeys{set}, v.Token)
			if got := reasonOf(err); got != v.Reason || string(jws.Payload) != v.Payload {
				t.Fatalf("reason %q, want %q: %v\npayload %q", got, v.Reason, err, jws.Payload)
			}
			if v.JWT {
				checkVector(t, token.Verifier{Keys: vectorKeys{set}, Issuer: "joe"}, v.Token)
			}
		})
	}
}

// checkVector has the claims judged in the last second of their life, and after it.
func checkVector(t *testing.T, v token.Verifier, compact string) {
	t.Helper()
	const exp = 1_300_819_380
	for at, want := range map[int64]token.Reason{exp - 1: "", exp: token.ReasonExpired} {
		v.Now = func() time.Time { return time.Unix(at, 0) }
		if _, err := v.Verify(t.Context(), compact); reasonOf(err) != want {
			t.Errorf("at %d: %v, want %q", at, err, want)
		}
	}
}

func reasonOf(err error) token.Reason {
	refusal, ok := errors.AsType[*token.Refusal](err)
	switch {
	case ok:
		return refusal.Reason
	case err != nil:
		return token.Reason(err.Error())
	default:
		return ""
	}
}
