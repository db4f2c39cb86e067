package keys_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

func TestARestoredBackupIsRefusedUntilItIsAccepted(t *testing.T) {
	d := newDisk(t)
	first := d.create(t)
	leaked := first.Active().KeyID()
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, revoke(t, leaked, "leaked"))
	d.restore(t, backup)
	d.wantRefused(t, "version 1")

	var accepted keys.Keyset
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		accepted = r.Keyset()
		wantRevoked(t, r, leaked, "leaked")
		wantSigns(t, r)
	})
	if accepted.Epoch != 1 || accepted.Version != 2 || accepted.Active().KeyID() != pendingKid(t, first) {
		t.Errorf("accepted: epoch %d, version %d, active %s", accepted.Epoch, accepted.Version, accepted.Active().KeyID())
	}
	s := d.store(t)
	if _, err := s.PrivateKey(t.Context(), leaked); !errors.Is(err, keys.ErrNoPrivateKey) {
		t.Errorf("PrivateKey of the revoked key = %v", err)
	}
	must(t, s.Close())

	for name, open := range map[string]opener{"Open": keys.Open, "a second accept": keys.AcceptRestore} {
		d.onThisMachine(t, open, func(r *keys.Ring) {
			if diff := cmp.Diff(accepted, r.Keyset()); diff != "" {
				t.Errorf("%s changed the keyset (-accepted +then):\n%s", name, diff)
			}
		})
	}
	d.restore(t, backup)
	d.wantRefused(t, "version 1")
}

func TestAcceptChangesNothingIfNothingIsMissing(t *testing.T) {
	d := newDisk(t)
	if err := d.withRing(t, d.witness, keys.AcceptRestore, noAction); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("an empty store: %v", err)
	}
	created := d.create(t)
	for _, w := range []keys.Witness{nil, witness.Folder(t.TempDir()), d.witness} {
		must(t, d.withRing(t, w, keys.AcceptRestore, func(r *keys.Ring) {
			if diff := cmp.Diff(created, r.Keyset()); diff != "" {
				t.Errorf("accept changed the keyset (-before +after):\n%s", diff)
			}
		}))
	}
}

func TestARunningRingFollowsAnAcceptedRestore(t *testing.T) {
	d := newDisk(t)
	d.create(t)
	backup := d.backup(t)
	s := d.store(t)
	defer s.Close() //nolint:errcheck // only read at the end
	running, err := keys.Open(t.Context(), d.options(s, d.witness))
	must(t, err)
	leaked := running.Keyset().Active().KeyID()
	rotate(t)(running)
	setPolicy(t, keys.Settings{RotationInterval: 47 * time.Hour})(running)
	setPolicy(t, keys.Settings{RotationInterval: 48 * time.Hour})(running)
	before := running.Keyset()

	d.overwrite(t, backup)
	for name, err := range map[string]error{"Refresh": running.Refresh(t.Context()), "Step": running.Step(t.Context())} {
		if !restored(err) {
			t.Errorf("%s before AcceptRestore = %v", name, err)
		}
	}
	if diff := cmp.Diff(before, running.Keyset()); diff != "" {
		t.Errorf("the running ring took the backup:\n%s", diff)
	}
	wantSigns(t, running)

	d.onOtherMachine(t, revoke(t, leaked, "leaked"))
	var accepted keys.Keyset
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) { accepted = r.Keyset() })
	if accepted.Version != before.Version {
		t.Fatalf("accepted as version %d, the test wants %d", accepted.Version, before.Version)
	}
	must(t, running.Refresh(t.Context()))
	if diff := cmp.Diff(accepted, running.Keyset()); diff != "" {
		t.Errorf("the running ring has another keyset (-accepted +running):\n%s", diff)
	}
	wantSigns(t, running)
	wantRevoked(t, running, leaked, "leaked")
	if s := running.Status(); s.Rotations != 1 || s.Revocations != 1 {
		t.Errorf("%d rotations and %d revocations, want one each", s.Rotations, s.Revocations)
	}
}

func TestAKeyThatWasRevokedElsewhereStaysRevoked(t *testing.T) {
	for name, act := range map[string]func(*keys.Ring){
		"while it signs here":      setPolicy(t, keys.Settings{RotationInterval: 48 * time.Hour}),
		"while it is retired here": rotate(t),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			first := d.create(t)
			kid := first.Active().KeyID()
			backup := d.backup(t)
			d.onThisMachine(t, keys.Open, act)
			d.restore(t, backup)
			d.onOtherMachine(t, revoke(t, kid, "stolen"))
			d.wantRefused(t, "the store")
			d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
				wantRevoked(t, r, kid, "stolen")
				wantSigns(t, r)
				if k := r.Keyset().Active(); k.KeyID() != pendingKid(t, first) || k.Forced {
					t.Errorf("%s signs, forced %t; want the key that took over there", k.KeyID(), k.Forced)
				}
			})
		})
	}
}

// The active key was revoked elsewhere, and the private key of the pending one is not
// in the backup: a new key signs.
func TestAKeyThatWasRevokedElsewhereHasASuccessor(t *testing.T) {
	d := newDisk(t)
	kid := pendingKid(t, d.create(t))
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, rotate(t))
	d.restore(t, backup)
	d.onOtherMachine(t, revoke(t, kid, "stolen"))
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		wantRevoked(t, r, kid, "stolen")
		wantSigns(t, r)
	})
}

// A key that expired here and was revoked elsewhere counts as revoked. A key that only
// the restored keyset had is in the merged history.
func TestTheHistoriesAreMerged(t *testing.T) {
	d := newDisk(t)
	first := d.create(t)
	active, pending := first.Active().KeyID(), pendingKid(t, first)
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, func(r *keys.Ring) { // replaces the pending key, so that it leaves
		key, err := jwk.Generate(jwk.EdDSA, 0)
		must(t, err)
		must(t, r.Import(t.Context(), key))
	})
	d.restore(t, backup)
	var third string
	d.onOtherMachine(t, func(r *keys.Ring) {
		revoke(t, pending, "stolen")(r)
		third = pendingKid(t, r.Keyset())
		revoke(t, third, "stolen too")(r)
	})
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		wantRevoked(t, r, pending, "stolen")
		wantRevoked(t, r, third, "stolen too")
		if r.Keyset().Active().KeyID() != active {
			t.Error("another key signs")
		}
	})
}

// A key leaves after the last token that it signed here or elsewhere has expired.
func TestAKeyThatSignedOnTheRestoredStoreStaysForItsTokens(t *testing.T) {
	const stays = time.Hour + time.Hour + 10*time.Second + time.Minute // D + T + 2e + L
	d := newDisk(t)
	for _, tt := range []struct {
		name      string
		here      func(*keys.Ring)
		elsewhere func(*keys.Ring)
		kid       func(first keys.Keyset) string
		retired   time.Duration // after the restore
		wait      time.Duration // until it is accepted
	}{
		{
			"retired here, signing there", rotate(t), func(r *keys.Ring) { wantSigns(t, r) },
			func(ks keys.Keyset) string { return ks.Active().KeyID() }, 30 * time.Minute, 30 * time.Minute,
		},
		{
			"retired here, pending there", func(r *keys.Ring) {
				rotate(t)(r)
				must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
			}, noAction,
			func(ks keys.Keyset) string { p, _ := ks.Pending(); return p.KeyID() }, -10 * time.Minute, 30 * time.Minute,
		},
		{
			"retired here, retired there later", rotate(t), rotate(t),
			func(ks keys.Keyset) string { return ks.Active().KeyID() }, 0, 30 * time.Minute,
		},
		{
			"pending here, signing there", setPolicy(t, keys.Settings{RotationInterval: 48 * time.Hour}), rotate(t),
			func(ks keys.Keyset) string { p, _ := ks.Pending(); return p.KeyID() }, 30 * time.Minute, 30 * time.Minute,
		},
		{
			"pending here, retired there", setPolicy(t, keys.Settings{RotationInterval: 48 * time.Hour}), func(r *keys.Ring) {
				rotate(t)(r)
				must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
			},
			func(ks keys.Keyset) string { p, _ := ks.Pending(); return p.KeyID() }, 0, 30 * time.Minute,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d.witness, d.path = witness.Folder(t.TempDir()), filepath.Join(t.TempDir(), "keyset.db")
			first := d.create(t)
			kid := tt.kid(first)
			backup := d.backup(t)
			d.onThisMachine(t, keys.Open, tt.here)
			d.clock.Advance(10 * time.Minute)
			d.restore(t, backup)
			at := d.clock.Now()
			d.onOtherMachine(t, tt.elsewhere)
			d.clock.Advance(tt.wait)
			d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
				k := findKey(t, r.Keyset(), kid)
				if k.State(d.clock.Now()) != keys.Retired || k.RetiredAt.IsZero() || k.ActiveAt.IsZero() || k.DestroyedAt.IsZero() {
					t.Errorf("the key is %+v", k)
				}
				if want := at.Add(tt.retired + stays); !k.ExpiresAt.Equal(want) {
					t.Errorf("expires_at = %v, want %v", k.ExpiresAt, want)
				}
			})
			s := d.store(t)
			defer s.Close() //nolint:errcheck // read only
			if _, err := s.PrivateKey(t.Context(), kid); !errors.Is(err, keys.ErrNoPrivateKey) {
				t.Errorf("PrivateKey = %v", err)
			}
		})
	}
}

// A key that only the restored keyset published stays if it signed there, and leaves
// if it did not.
func TestAKeyThatOnlyTheRestoredKeysetHas(t *testing.T) {
	d := newDisk(t)
	d.create(t)
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, rotate(t))
	d.restore(t, backup)
	var signed, unused string
	d.onOtherMachine(t, func(r *keys.Ring) {
		rotate(t)(r)
		must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
		signed, unused = r.Keyset().Active().KeyID(), pendingKid(t, r.Keyset())
	})
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		if k := findKey(t, r.Keyset(), signed); k.State(d.clock.Now()) != keys.Retired {
			t.Errorf("the key that signed there is %s", k.State(d.clock.Now()))
		}
		if slices.Contains(publishedKids(t, r), unused) {
			t.Error("the key that never signed is published")
		}
		wantSigns(t, r)
	})
}

func TestAPendingKeyIsReplacedIfItsPrivateKeyIsNotInTheBackup(t *testing.T) {
	d := newDisk(t)
	d.create(t)
	backup := d.backup(t)
	var lost string
	d.onThisMachine(t, keys.Open, func(r *keys.Ring) {
		rotate(t)(r)
		lost = pendingKid(t, r.Keyset())
	})
	d.restore(t, backup)
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		ks := r.Keyset()
		if k := findKey(t, ks, lost); k.Reason == "" || k.State(d.clock.Now()) != keys.Expired {
			t.Errorf("the lost key is %s, reason %q", k.State(d.clock.Now()), k.Reason)
		}
		if p, _ := ks.Pending(); p.KeyID() == lost || !p.ReadyAt.After(d.clock.Now()) || len(r.Status().Unreadable) > 0 {
			t.Errorf("pending %s, ready at %v, unreadable %v", p.KeyID(), p.ReadyAt, r.Status().Unreadable)
		}
	})
}

// The backup may lack one private key and have another. A pending key that stays waits
// at the gate again.
func TestAPendingKeyStaysIfItsPrivateKeyIsInTheBackup(t *testing.T) {
	d := newDisk(t)
	first := d.create(t)
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, func(r *keys.Ring) {
		setPolicy(t, keys.Settings{ExpiredTokens: new(true)})(r)
		must(t, r.Step(t.Context())) // a specimen that the backup lacks
	})
	d.restore(t, backup)
	d.clock.Advance(3 * time.Hour)
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		p, _ := r.Keyset().Pending()
		gate := d.clock.Now().Add(time.Hour + 2*5*time.Minute + 5*time.Second) // D + 2M + e
		if p.KeyID() != pendingKid(t, first) || p.ReadyAt.Before(gate) {
			t.Errorf("pending %s, ready at %v", p.KeyID(), p.ReadyAt)
		}
		if len(r.Status().Unreadable) > 0 {
			t.Errorf("unreadable: %v", r.Status().Unreadable)
		}
		must(t, r.Step(t.Context()))
		if r.Keyset().Specimen == nil {
			t.Error("there is no specimen")
		}
	})
}

func TestAnActiveKeyThatIsNotInTheBackup(t *testing.T) {
	d := newDisk(t)
	d.create(t)
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, func(r *keys.Ring) {
		rotate(t)(r)
		must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
	})
	d.restore(t, backup)
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) || !errors.Is(r.Status().Ready(), keys.ErrUnreadable) {
			t.Errorf("SigningKey = %v, Ready = %v", err, r.Status().Ready())
		}
		refusal, ok := errors.AsType[*keys.Refusal](r.Rotate(t.Context(), keys.StepRequest{}))
		if !ok || refusal.Guard != keys.GuardGate {
			t.Fatalf("Rotate before the gate = %v", refusal)
		}
		d.clock.Advance(refusal.Until.Sub(d.clock.Now()))
		must(t, r.Rotate(t.Context(), keys.StepRequest{}))
		wantSigns(t, r)
	})
}

func TestAcceptNeedsAClockThatIsRight(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *disk, []byte){
		"behind the witness": func(t *testing.T, d *disk, backup []byte) {
			d.clock.Advance(time.Hour)
			d.onThisMachine(t, keys.Open, rotate(t))
			d.restore(t, backup)
		},
		"behind the store": func(t *testing.T, d *disk, backup []byte) {
			d.onThisMachine(t, keys.Open, func(r *keys.Ring) {
				rotate(t)(r)
				must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
			})
			d.restore(t, backup)
			d.clock.Advance(time.Hour)
			d.onOtherMachine(t, rotate(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			d.create(t)
			prepare(t, d, d.backup(t))
			d.clock.Advance(-time.Hour)
			err := d.withRing(t, d.witness, keys.AcceptRestore, noAction)
			wantGuard(t, "AcceptRestore", err, keys.GuardClock)
		})
	}
}

// A clock that was years ahead wrote the backup, or what the witness has, or both.
// Neither command can be the first one: each refuses the store because of the other.
func TestAcceptARestoreAfterAClockThatWasAhead(t *testing.T) {
	const ahead = 10 * 365 * 24 * time.Hour
	acceptClock := func(t *testing.T) func(*keys.Ring) {
		return func(r *keys.Ring) { must(t, r.AcceptClock(t.Context())) }
	}
	for name, prepare := range map[string]func(*testing.T, *disk) (backup []byte){
		"the backup": func(t *testing.T, d *disk) []byte {
			d.clock.Advance(ahead)
			d.create(t)
			backup := d.backup(t)
			d.clock.Advance(-ahead)
			d.onThisMachine(t, keys.Open, acceptClock(t))
			return backup
		},
		"the witness": func(t *testing.T, d *disk) []byte {
			d.create(t)
			backup := d.backup(t)
			d.clock.Advance(ahead)
			d.onThisMachine(t, keys.Open, rotate(t))
			d.clock.Advance(-ahead)
			return backup
		},
		"both": func(t *testing.T, d *disk) []byte {
			d.clock.Advance(ahead)
			d.create(t)
			backup := d.backup(t)
			d.onThisMachine(t, keys.Open, rotate(t))
			d.clock.Advance(-ahead)
			return backup
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			backup := prepare(t, d)
			d.restore(t, backup)
			wantGuard(t, "AcceptRestore", d.withRing(t, d.witness, keys.AcceptRestore, noAction), keys.GuardClock)
			wantGuard(t, "Open", d.withRing(t, d.witness, keys.Open, noAction), keys.GuardRestored)
			d.onThisMachine(t, keys.AcceptRestoreAndClock, noAction)
			d.onThisMachine(t, keys.Open, func(r *keys.Ring) {
				must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
				if at := r.Keyset().ChangedAt; at.After(d.clock.Now()) {
					t.Errorf("the newest stamp is %v", at)
				}
				wantSigns(t, r)
			})
		})
	}
}

// A process without a witness changes the restored store at the same time.
func TestAcceptRestoreIsTriedAgainAfterAConflict(t *testing.T) {
	d := newDisk(t)
	leaked := d.create(t).Active().KeyID()
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, revoke(t, leaked, "leaked"))
	d.restore(t, backup)
	s := d.store(t)
	defer s.Close() //nolint:errcheck // only read at the end
	other, err := keys.Open(t.Context(), d.options(s, nil))
	must(t, err)
	swaps := 0
	hooked := &hookedStore{Store: s, onSwap: func(_ keys.Change, commit func() error) error {
		if swaps++; swaps == 1 {
			setPolicy(t, keys.Settings{TokenTTL: time.Minute})(other)
		}
		return commit()
	}}
	r, err := keys.AcceptRestore(t.Context(), d.options(hooked, d.witness))
	must(t, err)
	wantRevoked(t, r, leaked, "leaked")
	if ks := r.Keyset(); swaps != 2 || ks.Epoch != 1 || ks.Version != 3 {
		t.Errorf("epoch %d, version %d after %d swaps", ks.Epoch, ks.Version, swaps)
	}
}

func TestAcceptNeedsTheSealingKey(t *testing.T) {
	d := newDisk(t)
	d.create(t)
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, rotate(t))
	d.restore(t, backup)
	d.sealer = newSealer(t)
	if err := d.withRing(t, d.witness, keys.AcceptRestore, noAction); !errors.Is(err, keys.ErrSealingKey) {
		t.Errorf("AcceptRestore = %v", err)
	}
}
