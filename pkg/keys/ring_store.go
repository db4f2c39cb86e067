package keys

import (
	"context"
	"errors"
	"sync"
	"time"
)

// longestCall is how long one call of the store may take. A connection that is cut
// without a word would otherwise keep a process from asking again for as long as
// max_staleness allows, and keep a command waiting without an end.
const longestCall = 10 * time.Second

// load is Store.Load within longestCall.
func (r *Ring) load(ctx context.Context) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	rec, err := r.store.Load(ctx)
	return rec, ExplainTimeout(err)
}

// sealedKey is Store.PrivateKey within longestCall.
func (r *Ring) sealedKey(ctx context.Context, kid string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	sealed, err := r.store.PrivateKey(ctx, kid)
	return sealed, ExplainTimeout(err)
}

// sealedKeyIDs is Store.PrivateKeyIDs within longestCall.
func (r *Ring) sealedKeyIDs(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	kids, err := r.store.PrivateKeyIDs(ctx)
	return kids, ExplainTimeout(err)
}

// commit is Store.Swap within longestCall.
func (r *Ring) commit(ctx context.Context, c Change) error {
	ctx, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	err := ExplainTimeout(r.store.Swap(ctx, c))
	r.access.noteWrite(c.Version, err)
	return err
}

// ExplainTimeout makes a StoreError of the error of a store that did not answer in time,
// and returns other errors as they are.
func ExplainTimeout(err error) error {
	if _, known := errors.AsType[*StoreError](err); known || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &StoreError{Problem: "the store does not answer", Err: err}
}

// storeAccess is what the newest calls of the store showed.
type storeAccess struct {
	mu         sync.Mutex
	readError  error  // of the newest read
	writeError error  // of the newest write, until the keyset is at another version
	version    uint64 // the one that this write would have replaced
}

// noteRead keeps the outcome of a refresh: the new view or an error.
func (a *storeAccess) noteRead(v *view, err error) {
	if errors.Is(err, context.Canceled) { // it says nothing about the store
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.readError = err
	if err == nil && v.ks.Version != a.version {
		a.writeError = nil
	}
}

// noteWrite keeps the outcome of a write that would replace a version.
func (a *storeAccess) noteWrite(version uint64, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if errors.Is(err, ErrConflict) { // the write of another process succeeded
		err = nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if errors.Is(err, ErrTooLate) && a.writeError != nil && a.version == version {
		return // it says less than the failed write before it
	}
	a.writeError, a.version = err, version
}

func (a *storeAccess) copyTo(s *Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.StoreError, s.WriteError = a.readError, a.writeError
}
