package keys_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestAnUnreadableActiveKeyStopsSigningAndIsNotReplaced(t *testing.T) {
	for name, damage := range map[string]func([]byte, error) ([]byte, error){
		"missing":   func([]byte, error) ([]byte, error) { return nil, keys.ErrNoPrivateKey },
		"corrupted": func(sealed []byte, err error) ([]byte, error) { sealed[len(sealed)-1] ^= 1; return sealed, err },
		"empty":     func(_ []byte, err error) ([]byte, error) { return nil, err },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			active := f.create(t).Keyset().Active().KeyID()
			f.store.hook(func(s *hookedStore) {
				s.onPrivateKey = func(kid string, sealed []byte, err error) ([]byte, error) {
					if kid == active {
						return damage(bytes.Clone(sealed), err)
					}
					return sealed, err
				}
			})
			r, err := keys.Open(t.Context(), f.options())
			must(t, err)
			check := func() {
				t.Helper()
				if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) {
					t.Errorf("SigningKey = %v", err)
				}
				if _, err := r.Export(active); !errors.Is(err, keys.ErrUnreadable) {
					t.Errorf("Export = %v", err)
				}
				s := r.Status()
				if !errors.Is(s.Ready(), keys.ErrUnreadable) || s.Unreadable[active] == nil || len(s.Unreadable) != 1 {
					t.Errorf("Ready = %v, unreadable %v", s.Ready(), s.Unreadable)
				}
				if got := publishedKids(t, r); len(got) != 2 || got[0] != active {
					t.Errorf("published %v", got)
				}
			}
			check()
			if err := r.Step(t.Context()); err != nil || r.Keyset().Version != 1 {
				t.Errorf("Step = %v, version %d", err, r.Keyset().Version)
			}
			check()
			must(t, r.Rotate(t.Context(), keys.StepRequest{Reason: "unreadable"}))
			wantSigns(t, r)
			if err := r.Status().Ready(); err != nil {
				t.Errorf("Ready = %v", err)
			}
		})
	}
}

func TestAnUnreadableSuccessorNeverSigns(t *testing.T) {
	f := newFixture(t)
	pending := pendingKid(t, f.create(t).Keyset())
	f.store.losePrivateKey(pending)
	f.clock.Advance(24 * time.Hour)
	r := f.open(t)
	wantGuard(t, "Step", r.Step(t.Context()), keys.GuardUnreadable)
	wantGuard(t, "Rotate", r.Rotate(t.Context(), keys.StepRequest{}), keys.GuardUnreadable)
	if s := r.Status(); s.Ready() != nil || s.Refused[keys.GuardUnreadable] != 2 || s.Keyset.Version != 1 {
		t.Errorf("Status = %+v", s)
	}
	wantSigns(t, r)
	other := f.open(t)
	must(t, other.Rotate(t.Context(), keys.StepRequest{Force: true}))
	wantSigns(t, other)
	if other.Keyset().Active().KeyID() == pending {
		t.Error("the successor that cannot be opened signs")
	}
	must(t, other.Step(t.Context())) // publishes the next successor
	pending = pendingKid(t, other.Keyset())
	f.store.losePrivateKey(pending)
	other = f.open(t)
	active := other.Keyset().Active().KeyID()
	must(t, other.Revoke(t.Context(), active, keys.StepRequest{Force: true}))
	wantSigns(t, other)
	if got := other.Keyset().Active().KeyID(); got == pending || got == active {
		t.Errorf("%s signs", got)
	}
}

// plainSealer seals nothing, so that a test can pass one private key off as another.
type plainSealer struct{}

func (plainSealer) Names() []string                                 { return []string{"plain"} }
func (plainSealer) Reload(context.Context) error                    { return nil }
func (plainSealer) Source() string                                  { return "this test" }
func (plainSealer) Seal(_ string, plain, _ []byte) ([]byte, error)  { return plain, nil }
func (plainSealer) Open(_ string, sealed, _ []byte) ([]byte, error) { return sealed, nil }

func TestThePrivateKeyOfAnotherKeyIsUnreadable(t *testing.T) {
	for name, sealer := range map[string]keys.Sealer{"sealed": nil, "not sealed": plainSealer{}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if sealer != nil {
				f.sealer = sealer
			}
			ks := f.create(t).Keyset()
			pending, _ := ks.Pending()
			other, err := f.store.PrivateKey(t.Context(), pending.KeyID())
			must(t, err)
			f.store.hook(func(s *hookedStore) {
				s.onPrivateKey = func(string, []byte, error) ([]byte, error) { return other, nil }
			})
			r, err := keys.Open(t.Context(), f.options())
			must(t, err)
			if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) {
				t.Errorf("SigningKey = %v", err)
			}
		})
	}
}

// contextSealer records the contexts.
type contextSealer struct {
	keys.Sealer
	contexts []string
}

func (s *contextSealer) Seal(name string, plain, sealContext []byte) ([]byte, error) {
	s.contexts = append(s.contexts, string(sealContext))
	return s.Sealer.Seal(name, plain, sealContext)
}

func TestAPrivateKeyIsSealedWithItsContextAndOpenedOnce(t *testing.T) {
	f := newFixture(t)
	sealer := &contextSealer{Sealer: f.sealer}
	f.sealer = sealer
	r := f.create(t)
	for i, k := range r.Keyset().Keys {
		if want := "jwksctl private half 1\nEdDSA\n" + k.KeyID(); sealer.contexts[i] != want {
			t.Errorf("a private key is sealed with context %q, want %q", sealer.contexts[i], want)
		}
	}
	var opened []string
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(kid string, sealed []byte, err error) ([]byte, error) {
			opened = append(opened, kid)
			return sealed, err
		}
	})
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	if pending, _ := r.Keyset().Pending(); !slices.Equal(opened, []string{pending.KeyID()}) {
		t.Errorf("opened after a rotation: %v, want the new key alone", opened)
	}
}

func TestAPrivateKeyThatComesBackIsOpened(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	gone := true
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(_ string, sealed []byte, err error) ([]byte, error) {
			if gone {
				return nil, keys.ErrNoPrivateKey
			}
			return sealed, err
		}
	})
	r, err := keys.Open(t.Context(), f.options())
	must(t, err)
	if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) {
		t.Fatalf("SigningKey = %v", err)
	}
	gone = false
	must(t, r.Refresh(t.Context()))
	wantSigns(t, r)
}

// A key may have been revoked since the document was read. Then its private key is
// missing, the document is read again, and no key counts as unreadable.
func TestAPrivateKeyThatWasDestroyedMeanwhileIsNotUnreadable(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	other := f.other(t)
	revoked := other.Keyset().Active().KeyID()
	once := true
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(_ string, sealed []byte, err error) ([]byte, error) {
			if once {
				once = false
				if err := other.Revoke(t.Context(), revoked, keys.StepRequest{}); err != nil {
					t.Error(err)
				}
				return nil, keys.ErrNoPrivateKey
			}
			return sealed, err
		}
	})
	r, err := keys.Open(t.Context(), f.options())
	must(t, err)
	wantSigns(t, r)
	if s := r.Status(); len(s.Unreadable) != 0 || slices.Contains(publishedKids(t, r), revoked) {
		t.Errorf("unreadable %v, published %v", s.Unreadable, publishedKids(t, r))
	}
}

// If the store fails while the private keys are read, no key counts as unreadable.
func TestAnOutageIsNotAnUnreadableKey(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(string, []byte, error) ([]byte, error) { return nil, errDown }
	})
	if _, err := keys.Open(t.Context(), f.options()); !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("Open = %v", err)
	}
}
