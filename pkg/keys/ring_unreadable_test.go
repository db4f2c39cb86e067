package keys_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestAnUnreadableActiveKeyStopsSigningAndIsNotReplaced(t *testing.T) {
	for name, spoil := range map[string]func([]byte, error) ([]byte, error){
		"missing":   func([]byte, error) ([]byte, error) { return nil, keys.ErrNoPrivateKey },
		"corrupted": func(sealed []byte, err error) ([]byte, error) { sealed[len(sealed)-1] ^= 1; return sealed, err },
		"empty":     func(_ []byte, err error) ([]byte, error) { return nil, err },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			active := l.found(t).Keyset().Active().KeyID()
			l.store.hook(func(s *hookedStore) {
				s.half = func(kid string, sealed []byte, err error) ([]byte, error) {
					if kid == active {
						return spoil(bytes.Clone(sealed), err)
					}
					return sealed, err
				}
			})
			r, err := keys.Open(t.Context(), l.options())
			if err != nil {
				t.Fatal(err)
			}
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
			if err := r.Rotate(t.Context(), keys.StepRequest{Reason: "unreadable"}); err != nil {
				t.Fatal(err)
			}
			signs(t, r)
			if err := r.Status().Ready(); err != nil {
				t.Errorf("Ready = %v", err)
			}
		})
	}
}

func TestAnUnreadableSuccessorNeverSigns(t *testing.T) {
	l := newLab(t)
	pending, _ := l.found(t).Keyset().Pending()
	l.store.hook(func(s *hookedStore) {
		s.half = func(kid string, sealed []byte, err error) ([]byte, error) {
			if kid == pending.KeyID() {
				return nil, keys.ErrNoPrivateKey
			}
			return sealed, err
		}
	})
	l.clock.Advance(24 * time.Hour)
	r, err := keys.Open(t.Context(), l.options())
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"Step": r.Step(t.Context()), "Rotate": r.Rotate(t.Context(), keys.StepRequest{})} {
		if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardUnreadable {
			t.Errorf("%s = %v", name, err)
		}
	}
	if s := r.Status(); s.Ready() != nil || s.Refused[keys.GuardUnreadable] != 2 || s.Keyset.Version != 1 {
		t.Errorf("Status = %+v", s)
	}
	signs(t, r)
	blind, err := keys.Open(t.Context(), l.options())
	if err != nil {
		t.Fatal(err)
	}
	if err := blind.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil {
		t.Fatal(err)
	}
	signs(t, blind)
	if blind.Keyset().Active().KeyID() == pending.KeyID() {
		t.Error("the successor that cannot be opened signs")
	}
	pending, _ = blind.Keyset().Pending() // which cannot be opened either by who starts now
	if blind, err = keys.Open(t.Context(), l.options()); err != nil {
		t.Fatal(err)
	}
	active := blind.Keyset().Active().KeyID()
	if err := blind.Revoke(t.Context(), active, keys.StepRequest{Force: true}); err != nil {
		t.Fatal(err)
	}
	signs(t, blind)
	if got := blind.Keyset().Active().KeyID(); got == pending.KeyID() || got == active {
		t.Errorf("%s signs", got)
	}
}

// plainSealer seals nothing, so that a test can pass one half off as another.
type plainSealer struct{}

func (plainSealer) Name() string                          { return "plain" }
func (plainSealer) Seal(plain, _ []byte) ([]byte, error)  { return plain, nil }
func (plainSealer) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }

func TestAHalfOfAnotherKeyIsUnreadable(t *testing.T) {
	for name, sealer := range map[string]keys.Sealer{"sealed": nil, "not even sealed": plainSealer{}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			if sealer != nil {
				l.sealer = sealer
			}
			ks := l.found(t).Keyset()
			pending, _ := ks.Pending()
			other, err := l.store.PrivateKey(t.Context(), pending.KeyID())
			if err != nil {
				t.Fatal(err)
			}
			l.store.hook(func(s *hookedStore) {
				s.half = func(string, []byte, error) ([]byte, error) { return other, nil }
			})
			r, err := keys.Open(t.Context(), l.options())
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) {
				t.Errorf("SigningKey = %v", err)
			}
		})
	}
}

// boundSealer keeps what each half was bound to.
type boundSealer struct {
	keys.Sealer
	bound []string
}

func (s *boundSealer) Seal(plain, binding []byte) ([]byte, error) {
	s.bound = append(s.bound, string(binding))
	return s.Sealer.Seal(plain, binding)
}

func TestAHalfIsBoundToItsKeyAndOpenedOnce(t *testing.T) {
	l := newLab(t)
	sealer := &boundSealer{Sealer: l.sealer}
	l.sealer = sealer
	r := l.found(t)
	for i, k := range r.Keyset().Keys {
		if want := "jwksctl private half 1\nEdDSA\n" + k.KeyID(); sealer.bound[i] != want {
			t.Errorf("a half is bound to %q, want %q", sealer.bound[i], want)
		}
	}
	var opened []string
	l.store.hook(func(s *hookedStore) {
		s.half = func(kid string, sealed []byte, err error) ([]byte, error) {
			opened = append(opened, kid)
			return sealed, err
		}
	})
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	if pending, _ := r.Keyset().Pending(); !slices.Equal(opened, []string{pending.KeyID()}) {
		t.Errorf("opened after a rotation: %v, want the new key alone", opened)
	}
}

func TestAHalfThatComesBackIsOpened(t *testing.T) {
	l := newLab(t)
	l.found(t)
	gone := true
	l.store.hook(func(s *hookedStore) {
		s.half = func(_ string, sealed []byte, err error) ([]byte, error) {
			if gone {
				return nil, keys.ErrNoPrivateKey
			}
			return sealed, err
		}
	})
	r, err := keys.Open(t.Context(), l.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) {
		t.Fatalf("SigningKey = %v", err)
	}
	gone = false
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	signs(t, r)
}

// A half that is missing may have been destroyed, or revoked, since the document
// was read. That is no alarm: the document is read again.
func TestAHalfThatWasDestroyedMeanwhileIsNoAlarm(t *testing.T) {
	l := newLab(t)
	l.found(t)
	other := l.other(t)
	revoked := other.Keyset().Active().KeyID()
	once := true
	l.store.hook(func(s *hookedStore) {
		s.half = func(_ string, sealed []byte, err error) ([]byte, error) {
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
	r, err := keys.Open(t.Context(), l.options())
	if err != nil {
		t.Fatal(err)
	}
	signs(t, r)
	if s := r.Status(); len(s.Unreadable) != 0 || slices.Contains(publishedKids(t, r), revoked) {
		t.Errorf("unreadable %v, published %v", s.Unreadable, publishedKids(t, r))
	}
}

// A store that fails while the halves are read is no reason to call a key
// unreadable.
func TestAnOutageIsNotAnUnreadableKey(t *testing.T) {
	l := newLab(t)
	l.found(t)
	l.store.hook(func(s *hookedStore) {
		s.half = func(string, []byte, error) ([]byte, error) { return nil, errDown }
	})
	if _, err := keys.Open(t.Context(), l.options()); !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("Open = %v", err)
	}
}
