package keys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
)

// keyFile is a key file that a test changes.
type keyFile struct {
	t     testing.TB
	path  string
	lines map[string]string // of every key that it had, by name
	names []string          // of those keys, in the order in which they were made
}

func newKeyFile(t testing.TB) *keyFile {
	t.Helper()
	f := &keyFile{t: t, path: filepath.Join(t.TempDir(), "seal.key"), lines: map[string]string{}}
	f.write(f.newKey())
	return f
}

// newKey makes a key that is not in the file yet.
func (f *keyFile) newKey() (name string) {
	f.t.Helper()
	line, name, err := seal.NewLine()
	must(f.t, err)
	f.lines[name], f.names = line, append(f.names, name)
	return name
}

// write makes these keys the content of the file.
func (f *keyFile) write(names ...string) {
	f.t.Helper()
	var text strings.Builder
	for _, name := range names {
		text.WriteString(f.lines[name] + "\n")
	}
	must(f.t, os.WriteFile(f.path, []byte(text.String()), 0o600))
}

// open is the Sealer of a new process.
func (f *keyFile) open() keys.Sealer {
	f.t.Helper()
	s, err := seal.Open(context.Background(), seal.File(f.path), seal.Environment{})
	must(f.t, err)
	return s
}

// sealing is a fixture whose sealing keys are in a file.
type sealing struct {
	*fixture
	file *keyFile
}

func newSealing(t testing.TB) *sealing {
	t.Helper()
	s := &sealing{newFixture(t), newKeyFile(t)}
	s.sealer = s.file.open()
	return s
}

// process is a new process, which reads the key file.
func (s *sealing) process(t testing.TB) *keys.Ring {
	t.Helper()
	s.sealer = s.file.open()
	return s.open(t)
}

// rotate moves the private keys to a new key, and leaves that one alone in the file.
func (s *sealing) rotate(t testing.TB) (name string) {
	t.Helper()
	name = s.file.newKey()
	s.file.write(s.file.names...)
	o := s.options()
	o.Store, o.Sealer = s.store.Store, s.file.open()
	r, err := keys.Open(t.Context(), o)
	must(t, err)
	must(t, r.SetSealingKey(t.Context(), name))
	s.file.write(name)
	return name
}

// wantSealed checks that every private key in a store opens under a key of the file, and
// under no other one.
func (s *sealing) wantSealed(t testing.TB, store keys.Store, ks keys.Keyset, name string) {
	t.Helper()
	if ks.SealingKey != name {
		t.Errorf("the document names %s, want %s", ks.SealingKey, name)
	}
	for _, other := range s.file.names {
		s.file.write(other)
		o := s.options()
		o.Store, o.Sealer = store, s.file.open()
		results, err := keys.Check(t.Context(), o)
		must(t, err)
		if other == name {
			wantNoFinding(t, results)
			wantCheck(t, results, "private_keys_open", keys.CheckOK, "opened")
		} else {
			wantCheck(t, results, "sealing_key", keys.CheckFinding, name)
		}
	}
}

func TestEveryPrivateKeyIsSealedAgain(t *testing.T) {
	s := newSealing(t)
	p := keystest.Policy(24 * time.Hour)
	p.ExpiredTokens = true
	server, err := keys.Create(t.Context(), s.options(), p)
	must(t, err)
	must(t, server.Rotate(t.Context(), keys.StepRequest{}))
	must(t, server.Step(t.Context()))
	before, sealed := server.Keyset(), sealedKeys(t, s.store)
	if len(sealed) != 4 {
		t.Fatalf("%d private keys, want those of an active, a pending, a retired key and a specimen", len(sealed))
	}

	second := s.rotate(t)
	for kid, again := range sealedKeys(t, s.store) {
		if again == sealed[kid] {
			t.Errorf("the private key of %s is as before", kid)
		}
	}
	reads := 0 // the server has the private keys open
	s.store.hook(func(h *hookedStore) {
		h.onPrivateKey = func(_ string, sealed []byte, err error) ([]byte, error) { reads++; return sealed, err }
	})
	must(t, server.Refresh(t.Context()))
	wantSigns(t, server)
	if reads > 0 || server.Status().Ready() != nil {
		t.Errorf("%d private keys were read, ready: %v", reads, server.Status().Ready())
	}
	want := before
	want.Version++
	want.SealingKey, want.SealingKeyBefore, want.Writes = second, before.SealingKey, server.Keyset().Writes
	if diff := cmp.Diff(want, server.Keyset()); diff != "" {
		t.Errorf("the keyset (-want +got):\n%s", diff)
	}
	must(t, server.Rotate(t.Context(), keys.StepRequest{Force: true})) // a new private key, under the new sealing key
	s.wantSealed(t, s.store.Store, server.Keyset(), second)
	s.log.want(t, 1, `"keyset changed"`, `"step":"seal"`)
}

func TestAPrivateKeyThatCannotBeOpenedIsNotSealedAgain(t *testing.T) {
	damage := func([]byte, error) ([]byte, error) { return []byte("damaged"), nil }
	lose := func([]byte, error) ([]byte, error) { return nil, keys.ErrNoPrivateKey }
	for name, tt := range map[string]struct {
		change  func([]byte, error) ([]byte, error)
		retired bool // the key is retired, not pending
		refused bool
	}{
		"damaged":                {damage, false, true},
		"damaged and retired":    {damage, true, true},
		"missing":                {lose, false, true},
		"missing and not needed": {lose, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSealing(t)
			r := s.create(t)
			kid := r.Keyset().Active().KeyID()
			must(t, r.Rotate(t.Context(), keys.StepRequest{}))
			if !tt.retired {
				kid = pendingKid(t, r.Keyset())
			}
			second := s.file.newKey()
			s.file.write(s.file.names...)
			before := sealedKeys(t, s.store.Store)
			s.store.hook(func(h *hookedStore) {
				h.onPrivateKey = func(asked string, sealed []byte, err error) ([]byte, error) {
					if asked == kid {
						return tt.change(sealed, err)
					}
					return sealed, err
				}
			})
			err := s.process(t).SetSealingKey(t.Context(), second)
			if !tt.refused {
				must(t, err)
				return
			}
			wantGuard(t, "SetSealingKey", err, keys.GuardUnreadable)
			if err != nil && !strings.Contains(err.Error(), kid) {
				t.Errorf("the refusal does not name the key: %v", err)
			}
			if diff := cmp.Diff(before, sealedKeys(t, s.store.Store)); diff != "" || s.other(t).Keyset().Version != 2 {
				t.Errorf("something was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestASealingKeyThatIsNotInTheSource(t *testing.T) {
	s := newSealing(t)
	r := s.create(t)
	if err := r.SetSealingKey(t.Context(), "seal-unknown"); !errors.Is(err, keys.ErrSealingKey) || !strings.Contains(err.Error(), "seal-unknown") {
		t.Errorf("SetSealingKey = %v", err)
	}
	second := s.file.newKey()
	s.file.write(s.file.names...) // after the process has read it
	must(t, r.SetSealingKey(t.Context(), second))
	must(t, r.SetSealingKey(t.Context(), second))
	if ks := r.Keyset(); ks.SealingKey != second || ks.Version != 2 {
		t.Errorf("version %d has the sealing key %s", ks.Version, ks.SealingKey)
	}
	if err := openReader(t, s.options()).SetSealingKey(t.Context(), second); !errors.Is(err, keys.ErrReader) {
		t.Errorf("a process that only publishes: %v", err)
	}
}

// A process whose source lacks the new key goes on to publish, also what changes, and to
// sign with the private keys that it has open. It says which key is missing, and recovers
// when the key is there.
func TestAProcessWithoutTheNewSealingKey(t *testing.T) {
	s := newSealing(t)
	server := s.create(t)
	first := s.file.names[0]
	second := s.rotate(t)
	s.file.write(first)
	refresh := func() {
		t.Helper()
		err := server.Refresh(t.Context())
		if !errors.Is(err, keys.ErrSealingKey) || !strings.Contains(err.Error(), second) || !strings.Contains(err.Error(), first) {
			t.Errorf("Refresh = %v", err)
		}
		if status := server.Status(); !errors.Is(status.StoreError, keys.ErrSealingKey) || !strings.Contains(status.StoreProblem(), "another key") {
			t.Errorf("the status says %v, %q", status.StoreError, status.StoreProblem())
		}
	}
	refresh()
	wantSigns(t, server)
	s.clock.Advance(server.Policy().MaxStaleness)
	refresh()
	s.clock.Advance(time.Second)
	wantSigns(t, server) // a refresh confirms the view

	other := openWith(t, s, second)
	revoked := server.Keyset().Active().KeyID()
	must(t, other.Revoke(t.Context(), revoked, keys.StepRequest{Force: true}))
	s.file.write(first)
	refresh()
	if got := publishedKids(t, server); slices.Contains(got, revoked) || len(got) == 0 {
		t.Errorf("published %v, and %s was revoked", got, revoked)
	}
	wantSigns(t, server) // the successor was open
	must(t, other.Rotate(t.Context(), keys.StepRequest{Force: true}))
	refresh()
	active := other.Keyset().Active().KeyID()
	if _, _, _, err := server.SigningKey(t.Context()); !errors.Is(err, keys.ErrUnreadable) || !slices.Contains(publishedKids(t, server), active) {
		t.Errorf("SigningKey = %v with a key that it cannot open, published %v", err, publishedKids(t, server))
	}
	if err := server.Status().Ready(); !errors.Is(err, keys.ErrSealingKey) {
		t.Errorf("Ready = %v", err)
	}

	must(t, os.Remove(s.file.path))
	if err := server.Refresh(t.Context()); !errors.Is(err, keys.ErrSealingKey) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), second) {
		t.Errorf("Refresh without the file = %v", err)
	}
	s.file.write(second)
	must(t, server.Refresh(t.Context()))
	if status := server.Status(); status.StoreError != nil || status.Ready() != nil {
		t.Errorf("the status says %v, %v", status.StoreError, status.Ready())
	}
	must(t, server.Rotate(t.Context(), keys.StepRequest{Force: true}))
	wantSigns(t, server)
}

// openWith is another process, whose key file has the key with that name alone.
func openWith(t testing.TB, s *sealing, name string) *keys.Ring {
	t.Helper()
	s.file.write(name)
	o := s.options()
	o.Sealer = s.file.open()
	r, err := keys.Open(t.Context(), o)
	must(t, err)
	return r
}

// beforeReload is a Sealer that does something before its source is read again.
type beforeReload struct {
	keys.Sealer
	do func()
}

func (s *beforeReload) Reload(ctx context.Context) error {
	s.do()
	return s.Sealer.Reload(ctx)
}

// The source may already lack the key that the document named when it was read.
func TestAnEarlierSealingKeyMayBeGoneWhenItIsLookedFor(t *testing.T) {
	s := newSealing(t)
	once := true
	o := s.options()
	o.Sealer = &beforeReload{s.sealer, func() {
		if once {
			once = false
			s.rotate(t)
		}
	}}
	server, err := createDaily(t.Context(), o)
	must(t, err)
	s.rotate(t)
	must(t, server.Refresh(t.Context()))
	if ks := server.Keyset(); once || ks.SealingKey != s.file.names[2] {
		t.Errorf("the process has version %d, with %s", ks.Version, ks.SealingKey)
	}
	wantSigns(t, server)
}

// A private key may have been sealed again since the document was read.
func TestAPrivateKeyThatWasSealedMeanwhileIsNotUnreadable(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, s *sealing, arm func()){
		"a new process": func(t *testing.T, s *sealing, arm func()) {
			arm()
			r := s.process(t)
			wantSigns(t, r)
			if u := r.Status().Unreadable; len(u) > 0 {
				t.Errorf("unreadable: %v", u)
			}
		},
		"a rotation": func(t *testing.T, s *sealing, arm func()) {
			r := s.process(t)
			arm()
			must(t, r.Refresh(t.Context()))
			s.file.write(s.file.names[0], s.file.newKey())
			must(t, r.SetSealingKey(t.Context(), s.file.names[1])) // it finds that another process was first
		},
		"a backup": func(t *testing.T, s *sealing, arm func()) {
			arm()
			b, err := keys.ReadBackup(t.Context(), s.options())
			must(t, err)
			o := s.atEmpty()
			must(t, keys.Restore(t.Context(), o, b))
			s.wantSealed(t, o.Store, b.Keyset(), s.file.names[1])
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSealing(t)
			s.create(t)
			armed, rotated := false, false
			s.store.hook(func(h *hookedStore) {
				h.onPrivateKey = func(kid string, _ []byte, _ error) ([]byte, error) {
					if armed {
						armed, rotated = false, true
						s.rotate(t)
					}
					return h.Store.PrivateKey(t.Context(), kid)
				}
			})
			use(t, s, func() { armed = true })
			if !rotated {
				t.Error("no private key was read")
			}
		})
	}
}

// Two processes replace the sealing key, each by a key of its own. The second one finds
// that the key which it wanted to replace is replaced.
func TestARotationOfTheSealingKeyAfterAnotherOne(t *testing.T) {
	s := newSealing(t)
	s.create(t)
	mine := s.file.newKey()
	s.file.write(s.file.names...)
	r := s.process(t)
	var theirs string
	s.store.hook(func(h *hookedStore) {
		h.onSwap = func(_ keys.Change, commit func() error) error {
			if theirs == "" {
				theirs = s.file.newKey()
				s.file.write(s.file.names...)
				o := s.options()
				o.Store, o.Sealer = s.store.Store, s.file.open()
				other, err := keys.Open(t.Context(), o)
				must(t, err)
				must(t, other.SetSealingKey(t.Context(), theirs))
			}
			return commit()
		}
	})
	must(t, r.SetSealingKey(t.Context(), mine))
	s.store.hook(func(h *hookedStore) { h.onSwap = nil })
	s.wantSealed(t, s.store.Store, r.Keyset(), theirs)
}

// The answer to the swap is lost: the private keys are sealed again once.
func TestARotationOfTheSealingKeyWithAnUnclearOutcome(t *testing.T) {
	s := newSealing(t)
	s.create(t)
	second := s.file.newKey()
	s.file.write(s.file.names...)
	r := s.process(t)
	s.store.hook(func(h *hookedStore) {
		h.onSwap = func(_ keys.Change, commit func() error) error {
			must(t, commit())
			return errDown
		}
	})
	must(t, r.SetSealingKey(t.Context(), second))
	if v := r.Keyset().Version; v != 2 {
		t.Errorf("version %d, want 2", v)
	}
}

func TestCheckSaysWhichSealingKeysThereAre(t *testing.T) {
	s := newSealing(t)
	s.create(t)
	check := func(text ...string) {
		t.Helper()
		s.sealer = s.file.open()
		for _, text := range text {
			wantCheck(t, s.check(t), "sealing_key", keys.CheckOK, text)
		}
	}
	first := s.file.names[0]
	check("sealed under " + first)
	second := s.file.newKey()
	s.file.write(first, second)
	check("sealed under "+first+";", second+" too, which waits for 'jwksctl seal rotate'")
	must(t, s.process(t).SetSealingKey(t.Context(), second))
	check("sealed under "+second+";", first+" too, the key before: remove it there")
}

// A copy and a backup of a keyset have the sealing keys of that keyset, and need them.
func TestACopyNeedsTheSealingKeyOfItsTime(t *testing.T) {
	m := newMoving(t)
	s := &sealing{m.fixture, newKeyFile(t)}
	s.sealer = s.file.open()
	s.create(t)
	second := s.rotate(t)
	copied, err := m.copies(t.Context())
	must(t, err)
	s.wantSealed(t, m.target, copied, second)
}

// A backup from before a rotation needs the earlier key. The witness, and what was
// changed since, are merged into it, and the private keys stay under that key until the
// next rotation.
func TestABackupFromBeforeARotationOfTheSealingKey(t *testing.T) {
	d, file := newDisk(t), newKeyFile(t)
	first := file.names[0]
	d.sealer = file.open()
	created := d.create(t)
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, revoke(t, created.Active().KeyID(), "leaked"))
	second := file.newKey()
	file.write(first, second)
	d.onThisMachine(t, keys.Open, func(r *keys.Ring) { must(t, r.SetSealingKey(t.Context(), second)) })
	file.write(second)
	d.sealer = file.open()
	d.restore(t, backup)
	d.wantRefused(t, "version 1")
	err := d.withRing(t, d.witness, keys.AcceptRestore, noAction)
	if !errors.Is(err, keys.ErrSealingKey) || !strings.Contains(err.Error(), first) {
		t.Fatalf("AcceptRestore without the earlier key = %v, want that %s is missing", err, first)
	}

	file.write(second, first)
	d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) {
		wantRevoked(t, r, created.Active().KeyID(), "leaked")
		wantSigns(t, r)
		if ks := r.Keyset(); ks.SealingKey != first || ks.SealingKeyBefore != "" || len(r.Status().Unreadable) > 0 {
			t.Errorf("sealing key %s, before %s, unreadable %v", ks.SealingKey, ks.SealingKeyBefore, r.Status().Unreadable)
		}
		must(t, r.SetSealingKey(t.Context(), second))
		must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
		wantSigns(t, r)
	})
	file.write(second)
	d.sealer = file.open()
	d.onThisMachine(t, keys.Open, func(r *keys.Ring) {
		wantSigns(t, r)
		if ks := r.Keyset(); ks.SealingKey != second || len(r.Status().Unreadable) > 0 {
			t.Errorf("sealing key %s, unreadable %v", ks.SealingKey, r.Status().Unreadable)
		}
	})
	if !slices.Equal(file.names, []string{first, second}) {
		t.Errorf("more keys were made: %v", file.names)
	}
}
