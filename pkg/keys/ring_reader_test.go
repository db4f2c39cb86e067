package keys_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// readersStore fails the test if a process that only publishes asks for more than the
// document.
type readersStore struct {
	keys.Store
	t *testing.T
}

func (s readersStore) PrivateKey(context.Context, string) ([]byte, error) {
	s.t.Error("a private key was read")
	return nil, keys.ErrNoPrivateKey
}

func (s readersStore) Swap(context.Context, keys.Change) error {
	s.t.Error("the keyset was written")
	return errors.New("refused")
}

func openReader(t *testing.T, o keys.Options) *keys.Ring {
	t.Helper()
	o.Store = readersStore{o.Store, t}
	o.Sealer = nil
	o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) {
		t.Error("a key was generated")
		return jwk.PrivateKey{}, errors.New("refused")
	}
	r, err := keys.OpenReader(t.Context(), o)
	must(t, err)
	return r
}

// A reader publishes what another process rotates, and does nothing itself.
func TestReaderPublishesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		signer := b.create(t, time.Minute)
		reader := openReader(t, b.o)
		startRun(t, reader)
		stop := startRun(t, signer)
		for range 10 {
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if got, want := publishedKids(t, reader), publishedKids(t, signer); len(got) < 2 || !slices.Equal(got, want) {
				t.Errorf("the reader publishes %q, the signer %q", got, want)
			}
			if err := reader.Status().Ready(); err != nil {
				t.Errorf("the reader is not ready: %v", err)
			}
		}
		if n := reader.Status().Rotations; n < 4 {
			t.Errorf("the reader has seen %d rotations", n)
		}
		time.Sleep(5 * time.Second) // after a rotation: the next due step needs no new key
		stop()
		time.Sleep(2 * time.Minute) // every step is overdue, and the reader takes none
		if s := reader.Status(); len(s.Steps) > 0 || len(s.Refused) > 0 || len(s.Unreadable) > 0 {
			t.Errorf("the reader took %v, was refused %v and could not read %v", s.Steps, s.Refused, s.Unreadable)
		}
		b.log.want(t, 0, "timed step failed")
	})
}

func TestReaderRefusesWhatNeedsASealingKey(t *testing.T) {
	f := newFixture(t)
	signer := f.create(t)
	r := openReader(t, f.options())
	kid, ctx := signer.Keyset().Active().KeyID(), t.Context()
	key, err := jwk.Generate(jwk.EdDSA, 0)
	must(t, err)
	for name, do := range map[string]func() error{
		"SigningKey":  func() error { _, _, _, err := r.SigningKey(ctx); return err },
		"Specimen":    func() error { _, _, _, err := r.Specimen(0).SigningKey(ctx); return err },
		"Export":      func() error { _, err := r.Export(kid); return err },
		"Step":        func() error { return r.Step(ctx) },
		"Rotate":      func() error { return r.Rotate(ctx, keys.StepRequest{Force: true}) },
		"Revoke":      func() error { return r.Revoke(ctx, kid, keys.StepRequest{Force: true}) },
		"Import":      func() error { return r.Import(ctx, key) },
		"SetPolicy":   func() error { _, err := r.SetPolicy(ctx, keys.Settings{Leeway: 2 * time.Second}); return err },
		"AcceptClock": func() error { return r.AcceptClock(ctx) },
		"Preview": func() error {
			_, err := r.PreviewRevocation(kid, keys.StepRequest{Force: true})
			return err
		},
	} {
		if err := do(); !errors.Is(err, keys.ErrReader) || !strings.Contains(err.Error(), "that has the sealing key") {
			t.Errorf("%s = %v, want ErrReader, and what to use", name, err)
		}
	}
	if found, err := r.Keys(ctx, kid); err != nil || len(found) != 1 {
		t.Errorf("Keys = %v, %v", found, err)
	}
}

func TestReaderOfAnEmptyStore(t *testing.T) {
	f := newFixture(t)
	if _, err := keys.OpenReader(t.Context(), f.options()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("OpenReader = %v", err)
	}
}

// The fence binds a reader too.
func TestReaderIsFenced(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	r := openReader(t, f.options())
	f.clock.Advance(time.Hour + time.Second)
	if _, err := r.Published(); !errors.Is(err, keys.ErrStale) {
		t.Errorf("Published = %v", err)
	}
	if err := r.Status().Ready(); !errors.Is(err, keys.ErrStale) {
		t.Errorf("Ready = %v", err)
	}
}
