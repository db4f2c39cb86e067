package seal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kind is where a source is.
type kind string

const (
	inFile       kind = "file"
	inVariable   kind = "env"
	inCredential kind = "credential"
	fromCommand  kind = "exec"
)

// Source says where the text with the sealing keys is. The zero value is none.
type Source struct {
	kind  kind
	value string // a path, the name of a variable or of a credential, or a command line
}

// File is the source in the file at path.
func File(path string) Source { return Source{inFile, path} }

// ParseSource reads file:PATH, env:NAME, credential:NAME or exec:COMMAND. It checks the
// form, and reads nothing. Its errors do not repeat a sealing key that was given in place
// of its source.
func ParseSource(text string) (Source, error) {
	const want = "want file:PATH, env:NAME, credential:NAME or exec:COMMAND"
	if strings.Contains(text, lineLabel) {
		return Source{}, errors.New(want + ", not the sealing key itself")
	}
	name, value, hasColon := strings.Cut(text, ":")
	if !hasColon {
		return Source{}, errors.New(want + "; a text without a colon is not repeated here, because it may be a key")
	}
	s := Source{kind(name), value}
	switch s.kind {
	case inFile, inVariable, inCredential, fromCommand:
	default:
		return Source{}, fmt.Errorf("%q: %s", text, want)
	}
	if value == "" {
		return Source{}, fmt.Errorf("%q: there is nothing after the colon: %s", text, want)
	}
	if err := s.check(); err != nil {
		return Source{}, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

// check returns an error if the source can name nothing.
func (s Source) check() error {
	switch s.kind {
	case inVariable:
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(s.value) {
			return errors.New("the name of a variable has letters, digits and underscores, and does not begin with a digit")
		}
		if strings.HasPrefix(s.value, "JWKSCTL_") {
			return errors.New("a variable that begins with JWKSCTL_ is refused unless it is a setting: give the variable another name")
		}
	case inCredential:
		if filepath.Base(s.value) != s.value || s.value == "." || s.value == ".." {
			return errors.New("the name of a credential is that of a file, without a folder")
		}
	case fromCommand:
		_, err := splitCommand(s.value)
		return err
	case inFile:
	}
	return nil
}

// String returns the source as ParseSource reads it.
func (s Source) String() string { return string(s.kind) + ":" + s.value }

// Path returns the path of the file if the source is one.
func (s Source) Path() (path string, ok bool) { return s.value, s.kind == inFile }

// IsZero reports whether there is no source.
func (s Source) IsZero() bool { return s == Source{} }

// Environment is what a source uses of the process.
type Environment struct {
	Environ []string          // as os.Environ has it; a command runs with it too
	Unset   func(name string) // takes a variable away from child processes; nil if there are none
	Log     *slog.Logger      // gets what a command that failed wrote to standard error; nil discards it

	logged *lastText // what Log got last
}

func (e Environment) lookup(name string) (value string, ok bool) {
	for _, pair := range slices.Backward(e.Environ) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// read returns the keys of the source.
func (s Source) read(ctx context.Context, e Environment) ([]sealingKey, error) {
	text, err := s.text(ctx, e)
	if err == nil {
		var keys []sealingKey
		if keys, err = parseKeys(text); err == nil {
			return keys, nil
		}
	}
	return nil, fmt.Errorf("seal key %s: %w", s, err)
}

func (s Source) text(ctx context.Context, e Environment) ([]byte, error) {
	switch s.kind {
	case inFile:
		return readFile(s.value)
	case inVariable:
		return s.variable(e)
	case inCredential:
		return s.credential(e)
	case fromCommand:
		return s.output(ctx, e, commandTimeout)
	}
	return nil, errors.New("there is no source")
}

// variable returns the value of the variable, and takes it away from child processes.
func (s Source) variable(e Environment) ([]byte, error) {
	value, ok := e.lookup(s.value)
	if !ok || value == "" {
		return nil, errors.New("the variable is not set: give it the sealing key of the store; for a new store, 'jwksctl seal key' prints one")
	}
	if e.Unset != nil {
		e.Unset(s.value)
	}
	return []byte(value), nil
}

// credential returns the content of a file in the folder that systemd makes for the
// credentials of a service. systemd lets only the service read that folder, in ways that
// the mode of a file does not show, so the mode is not checked.
func (s Source) credential(e Environment) ([]byte, error) {
	folder, ok := e.lookup("CREDENTIALS_DIRECTORY")
	if !ok || folder == "" {
		return nil, errors.New("CREDENTIALS_DIRECTORY is not set: systemd sets it for a service with LoadCredential= or LoadCredentialEncrypted=")
	}
	f, err := os.Open(filepath.Join(folder, s.value))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no such credential: name it in LoadCredential= of the service; for a new store, 'jwksctl seal key' prints a key for it")
	}
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close() //nolint:errcheck // only read
	text, _, err := readRegular(f)
	return text, err
}
