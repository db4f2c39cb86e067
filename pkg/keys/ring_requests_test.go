package keys_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

func TestStepTakesAllThatIsDue(t *testing.T) {
	l := newLab(t)
	r, err := keys.Create(t.Context(), l.options(), keystest.Policy(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	first := r.Keyset().Keys[0].KeyID()
	l.clock.Advance(24 * time.Hour) // due are: destroy, expire, activate, a specimen
	if err := r.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := r.Status()
	if !s.Keyset.Next().After(l.clock.Now()) {
		t.Errorf("still due: %v", s.Keyset.Upcoming())
	}
	want := map[keys.Step]uint64{keys.StepCreate: 1, keys.StepActivate: 2, keys.StepPublish: 2, keys.StepDestroy: 1, keys.StepExpire: 1, keys.StepSpecimen: 1}
	if diff := cmp.Diff(want, s.Steps); diff != "" {
		t.Errorf("Status.Steps (-want +got):\n%s", diff)
	}
	if _, err := l.store.PrivateKey(t.Context(), first); !errors.Is(err, keys.ErrNoPrivateKey) {
		t.Errorf("the half of an expired key = %v", err)
	}
	if n := l.log.count(`"msg":"keyset changed"`, `"step":"expire"`, first); n != 1 {
		t.Errorf("%d lines tell that the key expired:\n%s", n, &l.log)
	}
	_, err = r.Keys(t.Context(), first)
	if withdrawn, ok := errors.AsType[*keys.WithdrawnError](err); !ok || withdrawn.State != keys.Expired {
		t.Errorf("Keys = %v", err)
	}
	signs(t, l.other(t))
}

func TestRevokeByRing(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	first := r.Keyset().Active().KeyID()
	if err := r.Revoke(t.Context(), first, keys.StepRequest{Reason: "leaked"}); err != nil {
		t.Fatal(err)
	}
	signs(t, r)
	if got := publishedKids(t, r); len(got) != 2 || slices.Contains(got, first) {
		t.Errorf("published %v; the successor has none, or the revoked key is still there", got)
	}
	if _, err := l.store.PrivateKey(t.Context(), first); !errors.Is(err, keys.ErrNoPrivateKey) {
		t.Errorf("the half of a revoked key = %v", err)
	}
	version := r.Keyset().Version
	if err := r.Revoke(t.Context(), first, keys.StepRequest{Reason: "other"}); err != nil || r.Keyset().Version != version {
		t.Errorf("revoked again: %v, version %d, was %d", err, r.Keyset().Version, version)
	}
	if err := r.Revoke(t.Context(), "nobody", keys.StepRequest{}); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("an unknown key: %v", err)
	}
	active := r.Keyset().Active().KeyID()
	err := r.Revoke(t.Context(), active, keys.StepRequest{})
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardGate {
		t.Errorf("the successor is not ready: %v", err)
	}
	if s := r.Status(); s.Refused[keys.GuardGate] != 1 || s.Steps[keys.StepRevoke] != 1 {
		t.Errorf("refused %v, steps %v", s.Refused, s.Steps)
	}
	if err := r.Revoke(t.Context(), active, keys.StepRequest{Force: true}); err != nil {
		t.Fatal(err)
	}
	signs(t, r)
}

func TestARevocationHoldsWithoutItsSuccessor(t *testing.T) {
	l := newLab(t)
	o := l.options()
	l.found(t)
	o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) { return jwk.PrivateKey{}, errors.New("no entropy") }
	r, err := keys.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	first := r.Keyset().Active().KeyID()
	if err := r.Revoke(t.Context(), first, keys.StepRequest{}); err != nil {
		t.Errorf("Revoke = %v", err)
	}
	if got := publishedKids(t, r); slices.Contains(got, first) || len(got) != 1 {
		t.Errorf("published %v", got)
	}
	if n := l.log.count(`"level":"WARN"`, "successor", "no entropy"); n != 1 {
		t.Errorf("%d lines tell it:\n%s", n, &l.log)
	}
}

func TestSetPolicyByRing(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	pending, _ := r.Keyset().Pending()
	if _, err := r.Preview(keys.Keyset.Import); err != nil { // which makes a spare key, of the algorithm before
		t.Fatal(err)
	}
	changed, err := r.SetPolicy(t.Context(), keys.Settings{Algorithm: jwk.ES256})
	if diff := cmp.Diff([]keys.Difference{{Setting: "algorithm", Old: "EdDSA", New: "ES256"}}, changed); diff != "" || err != nil {
		t.Errorf("SetPolicy: %v (-want +got):\n%s", err, diff)
	}
	if got := publishedKids(t, r); slices.Contains(got, pending.KeyID()) {
		t.Errorf("the old pending key is published: %v", got)
	}
	if err := r.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, ok := r.Keyset().Pending(); !ok || p.JWK.Algorithm() != jwk.ES256 {
		t.Errorf("pending %+v", p)
	}
	version := r.Keyset().Version
	if changed, err := r.SetPolicy(t.Context(), keys.Settings{Algorithm: jwk.ES256}); err != nil || len(changed) != 0 || r.Keyset().Version != version {
		t.Errorf("the same again: %v, %v", changed, err)
	}
	if _, err := r.SetPolicy(t.Context(), keys.Settings{Leeway: 1}); err == nil || r.Keyset().Version != version {
		t.Errorf("a policy that does not hold: %v", err)
	}
}

func TestANewKeySizeReplacesThePendingKey(t *testing.T) {
	l := newLab(t)
	o := l.options()
	o.Generate = keystest.Generator()
	p := keystest.Policy(24 * time.Hour)
	p.Algorithm, p.KeySize, p.ExpiredTokens = jwk.RS256, 2048, false
	r, err := keys.Create(t.Context(), o, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetPolicy(t.Context(), keys.Settings{KeySize: 3072}); err != nil {
		t.Fatal(err)
	}
	if p, ok := r.Keyset().Pending(); ok {
		t.Errorf("a pending key of %d bits is kept", p.JWK.Size())
	}
}

func TestImportedKeysSignLikeAnyOther(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	key, err := jwk.Generate(jwk.EdDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Import(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	kid := key.KeyID()
	if got, err := r.Export(kid); err != nil || !got.Public().Equal(key.Public()) {
		t.Errorf("Export = %v, %v", got, err)
	}
	if err := r.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil || r.Keyset().Active().KeyID() != kid {
		t.Errorf("active %s, %v", r.Keyset().Active().KeyID(), err)
	}
	signs(t, l.other(t))
	err = r.Import(t.Context(), key)
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardKnown {
		t.Errorf("imported again: %v", err)
	}
	if _, err := r.Export("nobody"); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("Export of an unknown key = %v", err)
	}
}

func TestPreviewCommitsNothing(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	pending, _ := r.Keyset().Pending()
	next, err := r.Preview(func(ks keys.Keyset, now time.Time, m keys.StepInput) (keys.Keyset, keys.Effect, error) {
		return ks.Rotate(now, m, keys.StepRequest{})
	})
	if err != nil || next.Active().KeyID() != pending.KeyID() || len(next.Keys) != 3 {
		t.Errorf("Preview: active %s, %v", next.Active().KeyID(), err)
	}
	if err := r.Refresh(t.Context()); err != nil || r.Keyset().Version != 1 {
		t.Errorf("version %d, %v", r.Keyset().Version, err)
	}
}

func TestSpecimen(t *testing.T) {
	l := newLab(t)
	r, err := keys.Create(t.Context(), l.options(), keystest.Policy(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, _, err := r.Specimen(0).SigningKey(ctx); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("before there is one: %v", err)
	}
	if err := r.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ ttl, life time.Duration }{{0, time.Hour}, {10 * time.Minute, 10 * time.Minute}} {
		key, now, latest, err := r.Specimen(tt.ttl).SigningKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		end := l.clock.Now().Add(-time.Hour)
		if !latest.Equal(end) || !now.Equal(end.Add(-tt.life)) {
			t.Errorf("ttl %v: from %v to %v", tt.ttl, now.Sub(l.clock.Now()), latest.Sub(l.clock.Now()))
		}
		kid := key.KeyID()
		if kid != r.Keyset().Specimen.KeyID() || slices.Contains(publishedKids(t, r), kid) {
			t.Errorf("the specimen %s is published", kid)
		}
		if _, err := r.Keys(t.Context(), kid); !errors.As(err, new(*keys.WithdrawnError)) {
			t.Errorf("Keys of the specimen: %v", err)
		}
	}
	specimen := r.Keyset().Specimen.KeyID()
	l.store.hook(func(s *hookedStore) {
		s.half = func(kid string, sealed []byte, err error) ([]byte, error) {
			if kid == specimen {
				return nil, keys.ErrNoPrivateKey
			}
			return sealed, err
		}
	})
	blind, err := keys.Open(t.Context(), l.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := blind.Specimen(0).SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) || blind.Status().Ready() != nil {
		t.Errorf("its half is missing: %v, ready %v", err, blind.Status().Ready())
	}
	if _, err := r.SetPolicy(t.Context(), keys.Settings{ExpiredTokens: new(false)}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Specimen(0).SigningKey(t.Context()); !errors.Is(err, keys.ErrNoSpecimen) {
		t.Errorf("the policy keeps none: %v", err)
	}
	if err := r.Step(t.Context()); err != nil || r.Keyset().Specimen != nil {
		t.Errorf("it was not taken away: %v", err)
	}
}

func TestARingIsUsedFromManyGoroutines(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				signs(t, r)
				r.Status()
				if err := r.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			if err := r.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil {
				t.Error(err)
			}
			if err := r.Step(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	signs(t, l.other(t))
}

// No private part may stand in an error or a log line, whichever way it is written.
func TestNothingSecretIsTold(t *testing.T) {
	l := newLab(t)
	l.sealer = plainSealer{}
	var made []jwk.PrivateKey
	o := l.options()
	var mu sync.Mutex
	o.Generate = func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
		mu.Lock()
		defer mu.Unlock()
		key, err := jwk.Generate(alg, size)
		made = append(made, key)
		return key, err
	}
	r, err := keys.Create(t.Context(), o, keystest.Policy(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	told := []error{r.Rotate(t.Context(), keys.StepRequest{}), r.Rotate(t.Context(), keys.StepRequest{}), r.Step(t.Context())}
	spoiled := func(change func([]byte) []byte) {
		l.store.hook(func(s *hookedStore) {
			s.half = func(_ string, sealed []byte, err error) ([]byte, error) { return change(sealed), err }
		})
		blind, err := keys.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, err = blind.SigningKey(t.Context())
		told = append(told, err, blind.Status().Ready(), blind.Rotate(t.Context(), keys.StepRequest{Force: true}))
	}
	spoiled(func(b []byte) []byte { return b[:len(b)-1] })
	spoiled(func(b []byte) []byte { return append(slices.Clone(b), 0) })
	spoiled(func([]byte) []byte { return nil })
	l.store.hook(func(s *hookedStore) { s.half, s.swap = nil, func(keys.Change, func() error) error { return errDown } })
	told = append(told, r.Revoke(t.Context(), r.Keyset().Active().KeyID(), keys.StepRequest{Force: true}))

	text := fmt.Sprintf("%s %v %+v %#v %v", &l.log, told, r.Status(), made, r)
	for _, key := range made {
		der, err := key.MarshalPKCS8()
		if err != nil {
			t.Fatal(err)
		}
		seed := der[len(der)-32:] // RFC 8410: the key ends the PKCS #8
		for _, written := range []string{
			string(seed), hex.EncodeToString(seed), fmt.Sprintf("%d", seed), strings.Trim(fmt.Sprintf("%d", seed), "[]"),
			base64.RawURLEncoding.EncodeToString(seed), base64.RawStdEncoding.EncodeToString(seed),
			base64.StdEncoding.EncodeToString(der), hex.EncodeToString(der),
		} {
			if strings.Contains(text, written) {
				t.Fatalf("the private half of %s is told", key.KeyID())
			}
		}
	}
	if len(made) < 4 || len(told) < 10 {
		t.Errorf("only %d keys and %d errors were looked at", len(made), len(told))
	}
}
