package etcdtest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// A keyset moves from another engine to etcd and back, and its backup is restored in etcd.
func TestCopyAndBackup(t *testing.T) {
	cluster := three(t)
	sealer, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	with := func(s keys.Store) keys.Options { return keys.Options{Store: s, Sealer: sealer} }
	source, first, second, last := memory.New(time.Now), open(t, cluster.URL("/first")), open(t, cluster.URL("/second")), memory.New(time.Now)
	ring, err := keys.Create(t.Context(), with(source), keystest.Policy(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Copy(t.Context(), with(source), with(first), "etcd"); !errors.Is(err, keys.ErrClockSkew) {
		t.Errorf("Copy of a keyset with a clock_skew of 5s = %v", err)
	}
	if _, err := ring.SetPolicy(t.Context(), keys.Settings{ClockSkew: 8 * time.Second}); err != nil {
		t.Fatal(err)
	}
	before := ring.Keyset()
	copied, err := keys.Copy(t.Context(), with(source), with(first), "etcd")
	if err != nil {
		t.Fatal(err)
	}
	want := before
	want.Version, want.Epoch = before.Version+2, 1
	if diff := cmp.Diff(want, copied); diff != "" {
		t.Errorf("the copy (-want +got):\n%s", diff)
	}
	signs := func(s keys.Store) {
		t.Helper()
		r, err := keys.Open(t.Context(), with(s))
		if err == nil {
			_, _, _, err = r.SigningKey(t.Context())
		}
		if err != nil {
			t.Errorf("a process that uses the copy: %v", err)
		}
	}
	signs(first)
	results, err := keys.Check(t.Context(), with(first))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Status == keys.CheckFinding {
			t.Errorf("a finding in the copy: %+v", r)
		}
	}

	b, err := keys.ReadBackup(t.Context(), with(first))
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Restore(t.Context(), with(second), b); err != nil {
		t.Fatal(err)
	}
	wantKeysetOf(t, second, first)
	signs(second)
	if _, err := keys.Copy(t.Context(), with(first), with(last), "memory"); err != nil {
		t.Fatal(err)
	}
	signs(last)
}

// wantKeysetOf checks that two stores have the same document at the same version.
func wantKeysetOf(t *testing.T, got, want keys.Store) {
	t.Helper()
	a, errA := got.Load(t.Context())
	b, errB := want.Load(t.Context())
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if a.Version != b.Version || string(a.Document) != string(b.Document) {
		t.Errorf("version %d, want version %d", a.Version, b.Version)
	}
}
