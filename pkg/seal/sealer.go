package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// ErrCommand says that the command of a source failed or took too long. It may succeed
// later.
var ErrCommand = errors.New("the command that prints the sealing key failed")

// Sealer has the sealing keys of a source. It satisfies keys.Sealer. Its methods may be
// called from many goroutines. It does not print itself.
type Sealer struct {
	source Source
	env    Environment

	mu       sync.RWMutex
	keys     []sealingKey // in the order of the source
	reloaded time.Time    // when the source was read again last; zero if it was not
	failed   error        // the outcome of that
}

// Open reads the keys of a source. It never creates anything. The error matches
// [fs.ErrNotExist] if the source is a file that does not exist.
func Open(ctx context.Context, s Source, e Environment) (*Sealer, error) {
	e.logged = &lastText{}
	keys, err := s.read(ctx, e)
	if err != nil {
		return nil, err
	}
	return &Sealer{source: s, env: e, keys: keys}, nil
}

// Create is Open, except that it makes a file that does not exist, with a new key and mode
// 0600. It cannot create anything in other sources.
func Create(ctx context.Context, s Source, e Environment) (*Sealer, error) {
	if path, ok := s.Path(); ok {
		if err := createFile(path); err != nil {
			return nil, fmt.Errorf("seal key %s: %w", s, err)
		}
	}
	return Open(ctx, s, e)
}

// NewKey returns a Sealer with a new key that is in no source. It is for stores in memory,
// because nothing can open what it sealed once the process has ended.
func NewKey() (*Sealer, error) {
	key, err := derive(newSecret())
	return &Sealer{keys: []sealingKey{key}}, err
}

// Source says where the keys come from, for messages.
func (s *Sealer) Source() string {
	if s.source.IsZero() {
		return "the memory of this process"
	}
	return s.source.String()
}

// Reload reads the source again. If that fails, the keys stay as they are. A variable, and
// a key that is in no source, cannot change. A command is called every ten seconds at most;
// until then, the outcome is that of the last time.
func (s *Sealer) Reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.source.IsZero() || s.source.kind == inVariable:
		return nil
	case s.source.kind == fromCommand && !s.reloaded.IsZero() && time.Since(s.reloaded) < reloadPause:
		return s.failed
	}
	keys, err := s.source.read(ctx, s.env)
	s.reloaded, s.failed = time.Now(), err
	if err == nil {
		s.keys = keys
	}
	return err
}

// Names lists the public names of the keys, in the order of the source. The first one
// seals the private keys of a new keyset. A name is "seal-" and 16 hexadecimal digits,
// always the same for one key, and reveals nothing about it.
func (s *Sealer) Names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := make([]string, len(s.keys))
	for i, key := range s.keys {
		names[i] = key.name
	}
	return names
}

// Seal encrypts plaintext, by the key with that name, into an envelope that only Open with
// the same name and context can decrypt. It does not keep or change its arguments.
func (s *Sealer) Seal(name string, plaintext, context []byte) ([]byte, error) {
	return s.key(name).seal(plaintext, context)
}

// Open returns the plaintext of an envelope. It fails if the envelope was changed, or was
// sealed with another context or by another key.
func (s *Sealer) Open(name string, sealed, context []byte) ([]byte, error) {
	return s.key(name).open(sealed, context)
}

// key returns the key with that name; the zero value, which seals and opens nothing, if
// the source does not have it.
func (s *Sealer) key(name string) sealingKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := slices.IndexFunc(s.keys, func(k sealingKey) bool { return k.name == name })
	if i < 0 {
		return sealingKey{name: name}
	}
	return s.keys[i]
}

// String returns a placeholder.
func (*Sealer) String() string { return redacted }

// GoString returns a placeholder.
func (*Sealer) GoString() string { return redacted }

// Format writes a placeholder for every verb and flag.
func (*Sealer) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue returns a placeholder.
func (*Sealer) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always fails.
func (*Sealer) MarshalText() ([]byte, error) { return sealingKey{}.MarshalText() }
