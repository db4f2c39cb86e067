package token

import "testing"

// TestObjectRefuses covers a value that the checks of a Request would let through by
// mistake: nothing is written in its place.
func TestObjectRefuses(t *testing.T) {
	bad := map[string]any{"a": 1, "b": func() {}, "c": func() {}}
	r := Request{Claims: bad, Header: bad}
	want := `"b" cannot be written as JSON: json: unsupported type: func()`
	if got, err := r.encodeHeader(&Token{}); err == nil || err.Error() != want {
		t.Errorf("header %s, %v, want %s", got.encoded, err, want)
	}
	if got, err := r.writeClaims(nil, &Token{}); err == nil || err.Error() != want {
		t.Errorf("claims %s, %v, want %s", got, err, want)
	}
}
