package token

import (
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// TestObjectRefuses covers a value that the checks of a Request would let through by
// mistake: nothing is written in its place.
func TestObjectRefuses(t *testing.T) {
	bad := map[string]any{"a": 1, "b": func() {}, "c": func() {}}
	r := Request{Claims: bad, Header: bad}
	want := `"b" cannot be written as JSON: json: unsupported type: func()`
	if text, err := r.header(nil, jwk.ES256, "kid"); err == nil || err.Error() != want {
		t.Errorf("header %s, %v, want %s", text, err, want)
	}
	if text, err := r.claims(nil, time.Now(), time.Now()); err == nil || err.Error() != want {
		t.Errorf("claims %s, %v, want %s", text, err, want)
	}
}
