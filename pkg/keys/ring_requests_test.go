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

func TestStepTakesAllDueSteps(t *testing.T) {
	f := newFixture(t)
	r, err := keys.Create(t.Context(), f.options(), keystest.Policy(24*time.Hour))
	must(t, err)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	first := r.Keyset().Keys[0].KeyID()
	f.clock.Advance(24 * time.Hour) // due are: destroy, expire, activate, a specimen
	must(t, r.Step(t.Context()))
	s := r.Status()
	if !s.Keyset.Next().After(f.clock.Now()) {
		t.Errorf("still due: %v", s.Keyset.Upcoming())
	}
	want := map[keys.Step]uint64{keys.StepCreate: 1, keys.StepActivate: 2, keys.StepPublish: 2, keys.StepDestroy: 1, keys.StepExpire: 1, keys.StepSpecimen: 1}
	if diff := cmp.Diff(want, s.Steps); diff != "" {
		t.Errorf("Status.Steps (-want +got):\n%s", diff)
	}
	if _, err := f.store.PrivateKey(t.Context(), first); !errors.Is(err, keys.ErrNoPrivateKey) {
		t.Errorf("PrivateKey of an expired key = %v", err)
	}
	f.log.want(t, 1, `"msg":"keyset changed"`, `"step":"expire"`, first)
	_, err = r.Keys(t.Context(), first)
	if withdrawn, ok := errors.AsType[*keys.WithdrawnError](err); !ok || withdrawn.State != keys.Expired {
		t.Errorf("Keys = %v", err)
	}
	wantSigns(t, f.other(t))
}

func TestRingRevoke(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	first := r.Keyset().Active().KeyID()
	must(t, r.Revoke(t.Context(), first, keys.StepRequest{Reason: "leaked"}))
	wantSigns(t, r)
	if got := publishedKids(t, r); len(got) != 2 || slices.Contains(got, first) {
		t.Errorf("published %v, want the successor and its own, without the revoked key", got)
	}
	if _, err := f.store.PrivateKey(t.Context(), first); !errors.Is(err, keys.ErrNoPrivateKey) {
		t.Errorf("PrivateKey of a revoked key = %v", err)
	}
	version := r.Keyset().Version
	if err := r.Revoke(t.Context(), first, keys.StepRequest{Reason: "other"}); err != nil || r.Keyset().Version != version {
		t.Errorf("revoked again: %v, version %d, was %d", err, r.Keyset().Version, version)
	}
	if err := r.Revoke(t.Context(), "unknown", keys.StepRequest{}); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("an unknown key: %v", err)
	}
	active := r.Keyset().Active().KeyID()
	wantGuard(t, "Revoke while the successor is not ready", r.Revoke(t.Context(), active, keys.StepRequest{}), keys.GuardGate)
	if s := r.Status(); s.Refused[keys.GuardGate] != 1 || s.Steps[keys.StepRevoke] != 1 {
		t.Errorf("refused %v, steps %v", s.Refused, s.Steps)
	}
	must(t, r.Revoke(t.Context(), active, keys.StepRequest{Force: true}))
	wantSigns(t, r)
}

func TestARevocationSucceedsWithoutASuccessor(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	f.create(t)
	o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) { return jwk.PrivateKey{}, errors.New("no entropy") }
	r, err := keys.Open(t.Context(), o)
	must(t, err)
	first := r.Keyset().Active().KeyID()
	if err := r.Revoke(t.Context(), first, keys.StepRequest{}); err != nil {
		t.Errorf("Revoke = %v", err)
	}
	if got := publishedKids(t, r); slices.Contains(got, first) || len(got) != 1 {
		t.Errorf("published %v", got)
	}
	f.log.want(t, 1, `"level":"WARN"`, "successor", "no entropy")
}

func TestRingSetPolicy(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	pending, _ := r.Keyset().Pending()
	if _, err := r.Preview(keys.Keyset.Import); err != nil { // generates a spare key of the old algorithm
		t.Fatal(err)
	}
	changed, err := r.SetPolicy(t.Context(), keys.Settings{Algorithm: jwk.ES256})
	if diff := cmp.Diff([]keys.Difference{{Setting: "algorithm", Old: "EdDSA", New: "ES256"}}, changed); diff != "" || err != nil {
		t.Errorf("SetPolicy: %v (-want +got):\n%s", err, diff)
	}
	if got := publishedKids(t, r); slices.Contains(got, pending.KeyID()) {
		t.Errorf("the old pending key is published: %v", got)
	}
	must(t, r.Step(t.Context()))
	if p, ok := r.Keyset().Pending(); !ok || p.JWK.Algorithm() != jwk.ES256 {
		t.Errorf("pending %+v", p)
	}
	version := r.Keyset().Version
	if changed, err := r.SetPolicy(t.Context(), keys.Settings{Algorithm: jwk.ES256}); err != nil || len(changed) != 0 || r.Keyset().Version != version {
		t.Errorf("set again: %v, %v", changed, err)
	}
	if _, err := r.SetPolicy(t.Context(), keys.Settings{Leeway: 1}); err == nil || r.Keyset().Version != version {
		t.Errorf("an invalid policy: %v", err)
	}
}

func TestANewKeySizeReplacesThePendingKey(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Generate = keystest.Generator()
	p := keystest.Policy(24 * time.Hour)
	p.Algorithm, p.KeySize, p.ExpiredTokens = jwk.RS256, 2048, false
	r, err := keys.Create(t.Context(), o, p)
	must(t, err)
	if _, err := r.SetPolicy(t.Context(), keys.Settings{KeySize: 3072}); err != nil {
		t.Fatal(err)
	}
	if p, ok := r.Keyset().Pending(); ok {
		t.Errorf("the pending key of %d bits stays", p.JWK.Size())
	}
}

func TestImportedKeysSignLikeAnyOther(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	key, err := jwk.Generate(jwk.EdDSA, 0)
	must(t, err)
	must(t, r.Import(t.Context(), key))
	kid := key.KeyID()
	if got, err := r.Export(kid); err != nil || !got.Public().Equal(key.Public()) {
		t.Errorf("Export = %v, %v", got, err)
	}
	if err := r.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil || r.Keyset().Active().KeyID() != kid {
		t.Errorf("active %s, %v", r.Keyset().Active().KeyID(), err)
	}
	wantSigns(t, f.other(t))
	wantGuard(t, "a second Import", r.Import(t.Context(), key), keys.GuardKnown)
	if _, err := r.Export("unknown"); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("Export of an unknown key = %v", err)
	}
}

func TestPreviewCommitsNothing(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
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
	f := newFixture(t)
	r, err := keys.Create(t.Context(), f.options(), keystest.Policy(24*time.Hour))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, _, err := r.Specimen(0).SigningKey(ctx); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("SigningKey without a specimen = %v", err)
	}
	must(t, r.Step(t.Context()))
	for _, tt := range []struct{ ttl, life time.Duration }{{0, time.Hour}, {10 * time.Minute, 10 * time.Minute}} {
		key, now, latest, err := r.Specimen(tt.ttl).SigningKey(t.Context())
		must(t, err)
		end := f.clock.Now().Add(-time.Hour)
		if !latest.Equal(end) || !now.Equal(end.Add(-tt.life)) {
			t.Errorf("ttl %v: from %v to %v", tt.ttl, now.Sub(f.clock.Now()), latest.Sub(f.clock.Now()))
		}
		kid := key.KeyID()
		if kid != r.Keyset().Specimen.KeyID() || slices.Contains(publishedKids(t, r), kid) {
			t.Errorf("the specimen %s is published", kid)
		}
		if _, err := r.Keys(t.Context(), kid); !errors.As(err, new(*keys.WithdrawnError)) {
			t.Errorf("Keys of the specimen: %v", err)
		}
	}
	f.store.losePrivateKey(r.Keyset().Specimen.KeyID())
	other := f.open(t)
	if _, _, _, err := other.Specimen(0).SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) || other.Status().Ready() != nil {
		t.Errorf("SigningKey without the private key = %v, Ready = %v", err, other.Status().Ready())
	}
	if _, err := r.SetPolicy(t.Context(), keys.Settings{ExpiredTokens: new(false)}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Specimen(0).SigningKey(t.Context()); !errors.Is(err, keys.ErrNoSpecimen) {
		t.Errorf("SigningKey if the policy has no specimen = %v", err)
	}
	if err := r.Step(t.Context()); err != nil || r.Keyset().Specimen != nil {
		t.Errorf("the specimen stays: %v", err)
	}
}

func TestManyGoroutinesUseARing(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				wantSigns(t, r)
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
	wantSigns(t, f.other(t))
}

// No error and no log line contains a private key, in any encoding.
func TestNothingSecretIsPrinted(t *testing.T) {
	f := newFixture(t)
	f.sealer = plainSealer{}
	var generated []jwk.PrivateKey
	o := f.options()
	var mu sync.Mutex
	o.Generate = func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
		mu.Lock()
		defer mu.Unlock()
		key, err := jwk.Generate(alg, size)
		generated = append(generated, key)
		return key, err
	}
	r, err := keys.Create(t.Context(), o, keystest.Policy(24*time.Hour))
	must(t, err)
	errs := []error{r.Rotate(t.Context(), keys.StepRequest{}), r.Rotate(t.Context(), keys.StepRequest{}), r.Step(t.Context())}
	withSpoiledKeys := func(change func([]byte) []byte) {
		f.store.hook(func(s *hookedStore) {
			s.onPrivateKey = func(_ string, sealed []byte, err error) ([]byte, error) { return change(sealed), err }
		})
		other, err := keys.Open(t.Context(), o)
		must(t, err)
		_, _, _, err = other.SigningKey(t.Context())
		errs = append(errs, err, other.Status().Ready(), other.Rotate(t.Context(), keys.StepRequest{Force: true}))
	}
	withSpoiledKeys(func(b []byte) []byte { return b[:len(b)-1] })
	withSpoiledKeys(func(b []byte) []byte { return append(slices.Clone(b), 0) })
	withSpoiledKeys(func([]byte) []byte { return nil })
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey, s.onSwap = nil, func(keys.Change, func() error) error { return errDown }
	})
	errs = append(errs, r.Revoke(t.Context(), r.Keyset().Active().KeyID(), keys.StepRequest{Force: true}))

	text := fmt.Sprintf("%s %v %+v %#v %v", &f.log, errs, r.Status(), generated, r)
	for _, key := range generated {
		der, err := key.MarshalPKCS8()
		must(t, err)
		seed := der[len(der)-32:] // RFC 8410: the key ends the PKCS #8
		for _, encoded := range []string{
			string(seed), hex.EncodeToString(seed), fmt.Sprintf("%d", seed), strings.Trim(fmt.Sprintf("%d", seed), "[]"),
			base64.RawURLEncoding.EncodeToString(seed), base64.RawStdEncoding.EncodeToString(seed),
			base64.StdEncoding.EncodeToString(der), hex.EncodeToString(der),
		} {
			if strings.Contains(text, encoded) {
				t.Fatalf("the private key of %s is printed", key.KeyID())
			}
		}
	}
	if len(generated) < 4 || len(errs) < 10 {
		t.Errorf("only %d keys and %d errors were checked", len(generated), len(errs))
	}
}
