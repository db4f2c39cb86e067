package keys

import (
	"errors"
	"testing"
)

// A store that fails for hours fails each attempt of each step.
func TestUnclearCommitsAreBounded(t *testing.T) {
	r := newRing(Options{})
	for i := range 100 {
		r.noteCommit(t.Context(), unclearCommit{after: Keyset{Version: uint64(i)}}, errors.New("the network is down"))
	}
	if n := len(r.unclear); n != maxAttempts || r.unclear[n-1].after.Version != 99 {
		t.Errorf("%d unclear commits, the last %d", n, r.unclear[n-1].after.Version)
	}
}
