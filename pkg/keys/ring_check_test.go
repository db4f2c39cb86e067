package keys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

// check runs the checks on the fixture's store.
func (f *fixture) check(t testing.TB, change ...func(*keys.Options)) []keys.CheckResult {
	t.Helper()
	o := f.options()
	for _, c := range change {
		c(&o)
	}
	results, err := keys.Check(t.Context(), o)
	must(t, err)
	return results
}

// wantCheck checks that there is one result of a check with a status, with the text.
func wantCheck(t testing.TB, results []keys.CheckResult, name string, status keys.CheckStatus, text string) {
	t.Helper()
	for _, r := range results {
		if r.Check == name && r.Status == status && strings.Contains(r.Detail, text) {
			return
		}
	}
	t.Errorf("there is no %s of %s with %q:\n%+v", status, name, text, results)
}

// wantNoFinding checks that no check has found anything, except those that are named.
func wantNoFinding(t testing.TB, results []keys.CheckResult, except ...string) {
	t.Helper()
	for _, r := range results {
		if r.Status == keys.CheckFinding && !strings.Contains(strings.Join(except, " "), r.Check) {
			t.Errorf("%s: %s", r.Check, r.Detail)
		}
	}
}

// rewrite changes the document in the store without a step.
func (f *fixture) rewrite(t testing.TB, change func(document map[string]any)) {
	t.Helper()
	rec := result(f.store.Load(t.Context()))(t)
	var document map[string]any
	must(t, json.Unmarshal(rec.Document, &document))
	document["version"] = rec.Version + 1
	change(document)
	data, err := json.Marshal(document)
	must(t, err)
	must(t, f.store.Swap(t.Context(), keys.Change{Version: rec.Version, Document: data}))
}

func TestCheckOfAGoodStore(t *testing.T) {
	f := newFixture(t)
	if _, err := keys.Check(t.Context(), f.options()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("Check of an empty store = %v", err)
	}
	r := f.create(t)
	_, err := r.SetPolicy(t.Context(), keys.Settings{ExpiredTokens: new(true)})
	must(t, err)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	must(t, r.Step(t.Context()))
	results := f.check(t)
	wantNoFinding(t, results)
	for _, name := range []string{"document", "version", "clock_skew", "stamps", "clock", "private_keys", "orphans", "sealing_key", "private_keys_open"} {
		wantCheck(t, results, name, keys.CheckOK, "")
	}
	wantCheck(t, results, "private_keys_open", keys.CheckOK, "4 opened")
	wantCheck(t, results, "witness", keys.CheckNotRun, "")
	wantCheck(t, f.check(t, func(o *keys.Options) { o.Store = slowStore{f.store} }), "clock_skew", keys.CheckFinding,
		"must be at least 8s: back it up with 'jwksctl store backup', restore that in a SQLite store, run 'jwksctl serve --clock-skew 8s' there once")
	wantCheck(t, f.check(t, func(o *keys.Options) { o.Sealer = nil }), "private_keys_open", keys.CheckNotRun, "no sealing key")
}

func TestCheckFindsWhatIsWrongWithPrivateKeys(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	retired := r.Keyset().Active().KeyID()
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	active, pending := r.Keyset().Active().KeyID(), pendingKid(t, r.Keyset())
	swap := func(change keys.Change) {
		t.Helper()
		rec := result(f.store.Load(t.Context()))(t)
		change.Version = rec.Version
		change.Document = bytes.Replace(rec.Document, []byte(`"version":2,"changed`), []byte(`"version":3,"changed`), 1)
		must(t, f.store.Swap(t.Context(), change))
	}
	of := sealedKeys(t, f.store)
	swap(keys.Change{
		Put:    map[string][]byte{"stray": []byte("x"), active: []byte(of[pending])},
		Delete: []string{pending, retired},
	})
	results := f.check(t)
	wantCheck(t, results, "private_keys", keys.CheckFinding, "key "+pending+" is missing")
	wantCheck(t, results, "orphans", keys.CheckFinding, `"stray" belongs to no key`)
	wantCheck(t, results, "private_keys_open", keys.CheckFinding, "key "+active+" cannot be opened")
	wantNoFinding(t, results, "private_keys", "orphans", "private_keys_open")
	for _, r := range results {
		if r.Status == keys.CheckFinding && strings.Contains(r.Detail, retired) {
			t.Errorf("a retired key needs no private key: %+v", r)
		}
	}

	wrong := f.check(t, func(o *keys.Options) { o.Sealer = newSealer(t) })
	wantCheck(t, wrong, "sealing_key", keys.CheckFinding, "sealed under")
	wantCheck(t, wrong, "private_keys_open", keys.CheckNotRun, "the sealing key is missing")
}

// A private key that was deleted by the document and is still there.
func TestCheckFindsAPrivateKeyThatShouldHaveBeenDeleted(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	revoked := r.Keyset().Active().KeyID()
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(c keys.Change, _ func() error) error {
			c.Delete = nil
			return s.Store.Swap(t.Context(), c)
		}
	})
	must(t, r.Revoke(t.Context(), revoked, keys.StepRequest{}))
	results := f.check(t)
	wantCheck(t, results, "orphans", keys.CheckFinding, "key "+revoked+" should have been deleted")
	wantNoFinding(t, results, "orphans")
}

func TestCheckFindsWhatIsWrongWithTheDocument(t *testing.T) {
	stamp := func(name string, at func(now time.Time) time.Time) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			f.rewrite(t, func(document map[string]any) {
				key := document["keys"].([]any)[0].(map[string]any)
				key[name] = at(f.clock.Now())
			})
		}
	}
	later := func(now time.Time) time.Time { return now.Add(2 * time.Minute) }
	for name, tt := range map[string]struct {
		damage func(*testing.T, *fixture)
		check  string
		text   string
	}{
		"not JSON": {func(t *testing.T, f *fixture) {
			must(t, f.store.Swap(t.Context(), keys.Change{Version: 1, Document: []byte("rust")}))
		}, "document", "cannot be used"},
		"another version": {func(t *testing.T, f *fixture) {
			f.rewrite(t, func(document map[string]any) { document["version"] = 7 })
		}, "version", "the document says version 7, the store says 2"},
		"moved": {func(t *testing.T, f *fixture) {
			f.rewrite(t, func(document map[string]any) { document["moved_to"] = "etcd://other" })
		}, "moved", "etcd://other"},
		"created after it was activated":  {stamp("created_at", later), "stamps", "created_at"},
		"activated after the last change": {stamp("active_at", later), "stamps", "later than changed_at"},
		"created never":                   {stamp("created_at", func(time.Time) time.Time { return time.Time{} }), "stamps", "created_at is missing"},
		"changed in the future": {func(t *testing.T, f *fixture) {
			f.rewrite(t, func(document map[string]any) { document["changed_at"] = f.clock.Now().Add(time.Minute) })
		}, "clock", "accept-clock"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.create(t)
			tt.damage(t, f)
			results := f.check(t)
			wantCheck(t, results, tt.check, keys.CheckFinding, tt.text)
			wantNoFinding(t, results, tt.check)
		})
	}
}

func TestCheckComparesWithTheWitness(t *testing.T) {
	f := newFixture(t)
	folder := witness.Folder(t.TempDir())
	withWitness := func(o *keys.Options) { o.Witness = folder }
	r := f.create(t)
	wantCheck(t, f.check(t, withWitness), "witness", keys.CheckNotRun, "not seen")
	old := result(f.store.Load(t.Context()))(t)
	must(t, folder.Store(r.Keyset().ID, old.Document))
	wantCheck(t, f.check(t, withWitness), "witness", keys.CheckOK, "")

	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	must(t, folder.Store(r.Keyset().ID, result(f.store.Load(t.Context()))(t).Document))
	restored := f.atEmpty().Store
	must(t, restored.Swap(t.Context(), keys.Change{Document: old.Document}))
	results := f.check(t, withWitness, func(o *keys.Options) { o.Store = restored })
	wantCheck(t, results, "witness", keys.CheckFinding, "version 1 of the keyset, this machine has seen version 2")

	must(t, folder.Store(r.Keyset().ID, []byte("rust")))
	wantCheck(t, f.check(t, withWitness), "witness", keys.CheckFinding, "damaged")
}

// A key that is deleted while the check runs is no finding.
func TestAChangeDuringACheckIsNoFinding(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	reads := 0
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(_ string, sealed []byte, err error) ([]byte, error) {
			if reads++; reads == 1 {
				must(t, f.other(t).Revoke(t.Context(), r.Keyset().Active().KeyID(), keys.StepRequest{}))
			}
			return sealed, err
		}
	})
	results := f.check(t)
	wantNoFinding(t, results)
	wantCheck(t, results, "version", keys.CheckOK, fmt.Sprintf("version %d,", result(f.store.Load(t.Context()))(t).Version))
}

// checkedStore is a store with checks of its engine.
type checkedStore struct {
	keys.Store
	results []keys.CheckResult
	err     error
}

func (s checkedStore) Check(context.Context) ([]keys.CheckResult, error) { return s.results, s.err }

func TestChecksOfTheEngine(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	damaged := []keys.CheckResult{{Check: "engine_integrity", Status: keys.CheckFinding, Detail: "a page is damaged"}}
	good := []keys.CheckResult{{Check: "engine_integrity", Status: keys.CheckOK, Detail: "none"}}
	with := func(results []keys.CheckResult, err error) func(*keys.Options) {
		return func(o *keys.Options) { o.Store = checkedStore{f.store, results, err} }
	}
	results := f.check(t, with(damaged, nil))
	wantCheck(t, results, "engine_integrity", keys.CheckFinding, "a page")
	wantCheck(t, results, "document", keys.CheckOK, "")

	// The keyset cannot be read: if the engine says why, that is a finding.
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(string, []byte, error) ([]byte, error) { return nil, errDown }
	})
	results = f.check(t, with(damaged, nil))
	wantCheck(t, results, "engine_integrity", keys.CheckFinding, "a page")
	wantCheck(t, results, "private_keys", keys.CheckNotRun, errDown.Error())
	for name, o := range map[string]func(*keys.Options){
		"the engine finds nothing": with(good, nil), "the engine is away": with(nil, errDown), "no engine": func(*keys.Options) {},
	} {
		options := f.options()
		o(&options)
		if _, err := keys.Check(t.Context(), options); !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, errDown) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
}
