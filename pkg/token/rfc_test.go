package token_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// TestRFCVectors verifies the examples of RFC 7515, appendix A, RFC 7520, section 4, and
// RFC 8037, appendix A. The JWTs among them expired on 22 March 2011, 18:43:00 UTC.
func TestRFCVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name    string
		Keys    json.RawMessage // a JWK Set; symmetric keys in it are ignored
		Token   string
		Reason  token.Reason // of the refusal; "" if the signature is valid
		Payload string
		JWT     bool // the payload is claims
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) != 16 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	for _, vector := range vectors {
		t.Run(vector.Name, func(t *testing.T) {
			keys, _, err := jwk.ParseSet(vector.Keys)
			if err != nil {
				t.Fatal(err)
			}
			jws, err := token.VerifySignature(t.Context(), set{keys}, vector.Token)
			if got := reasonOf(t, err); got != vector.Reason || string(jws.Payload) != vector.Payload {
				t.Fatalf("reason %q, want %q: %v\npayload %q", got, vector.Reason, err, jws.Payload)
			}
			if !vector.JWT {
				return
			}
			const exp = 1_300_819_380
			for seconds, want := range map[int64]token.Reason{exp - 1: "", exp: token.ReasonExpired} {
				v := token.Verifier{Keys: set{keys}, Issuer: []string{"joe"}, Now: func() time.Time { return time.Unix(seconds, 0) }}
				if _, err := v.Verify(t.Context(), vector.Token); reasonOf(t, err) != want {
					t.Errorf("at %d: %v, want %q", seconds, err, want)
				}
			}
		})
	}
}
