package token_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// row is a token that differs in one thing from a good one, and what a strict
// verifier says to it. Its name begins with the name of the fault.
type row struct {
	name  string
	token string
	want  token.Reason                     // "" if it must be accepted
	with  func(v *token.Verifier)          // changes what the verifier expects
	keys  func(testing.TB) []jwk.PublicKey // replaces the keys of the verifier
	also  []token.Reason                   // further checks that fail
}

// TestCatalogue holds the verifier to every row. What all verdicts have in common
// is checked for each: claims only when valid, no token in any message.
func TestCatalogue(t *testing.T) {
	rows := slices.Concat(
		signatureRows(), ecdsaRows(), rsaRows(), headerRows(), encodingRows(), jsonRows(), claimNameRows(),
		timeRows(), optionalTimeRows(), issuerRows(), audienceRows(), kindRows(), resourceRows(), acceptRows(),
	)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			v := verifier()
			if r.keys != nil {
				v.Keys = source(r.keys(t)...)
			}
			if r.with != nil {
				r.with(&v)
			}
			verdict, err := v.Verify(t.Context(), r.token)
			if r.want == "" {
				if err != nil || !verdict.Valid || verdict.Claims == nil || verdict.Reason != "" || verdict.Errors != nil {
					t.Fatalf("refused: %v; verdict %+v", err, verdict)
				}
				return
			}
			checkRefused(t, r, verdict, err)
		})
	}
}

func checkRefused(t *testing.T, r row, verdict token.Verdict, err error) {
	t.Helper()
	refusal, ok := errors.AsType[*token.Refusal](err)
	if !ok {
		t.Fatalf("accepted, or not judged: %v", err)
	}
	var got []token.Reason
	for _, failed := range verdict.Errors {
		got = append(got, failed.Reason)
		if failed.Message == "" || failed.Hint == "" || failed.Reason.Class() == "" {
			t.Errorf("incomplete refusal: %+v", failed)
		}
		if len(failed.Error()) > 600 {
			t.Errorf("the message has %d bytes: %.100s", len(failed.Error()), failed)
		}
		if strings.Contains(failed.Error(), r.token) && r.token != "" || strings.ContainsAny(failed.Error(), "\n\r\x1b") {
			t.Errorf("the message %q holds the token or control characters", failed.Error())
		}
	}
	if want := append([]token.Reason{r.want}, r.also...); !slices.Equal(got, want) {
		t.Errorf("reasons %q, want %q", got, want)
	}
	if verdict.Valid || verdict.Claims != nil || verdict.Reason != r.want || refusal != verdict.Errors[0] {
		t.Errorf("verdict and error disagree: %+v, %v", verdict, err)
	}
}

// TestEachRowBites makes sure that the rows are refused for what their name says:
// the good token itself passes with the same verifier and keys.
func TestEachRowBites(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		if verdict, err := verifier().Verify(t.Context(), good(alg).String()); err != nil || !verdict.Valid {
			t.Errorf("%s: %v", alg, err)
		}
	}
}
