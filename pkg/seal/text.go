package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	lineLabel = "jwksctl-seal-key-"
	lineMagic = lineLabel + "1 "
	textMax   = 1 << 10 // bytes; a line has 62
)

// parseKeys returns the keys in the text of a source, in its order.
func parseKeys(text []byte) ([]sealingKey, error) {
	secrets, err := parse(text)
	if err != nil {
		return nil, err
	}
	keys := make([]sealingKey, len(secrets))
	for i, secret := range secrets {
		if keys[i], err = derive(secret); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// parse returns the 32 bytes of each line in the text of a source. Empty lines are
// ignored. Its errors do not quote the text.
func parse(text []byte) (secrets [][]byte, err error) {
	if len(text) > textMax {
		return nil, errTooLong()
	}
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' })
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" })
	for i, line := range lines {
		secret, err := parseLine(line)
		if err == nil && slices.ContainsFunc(secrets, func(other []byte) bool { return string(other) == string(secret) }) {
			err = errors.New("the key is in an earlier line too: remove one of them")
		}
		if err != nil && len(lines) > 1 {
			err = fmt.Errorf("line %d: %w", i+1, err)
		}
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, errors.New("it is empty: restore the sealing key of the store; for a new store, 'jwksctl seal key' prints one")
	}
	return secrets, nil
}

func errTooLong() error { return errors.New("not a sealing key: it is too long") }

func parseLine(line string) ([]byte, error) {
	encoded, known := strings.CutPrefix(line, lineMagic)
	switch {
	case !known && strings.HasPrefix(line, lineLabel):
		return nil, errors.New("the key has a format that this release does not know: use a newer release")
	case !known:
		return nil, fmt.Errorf("not a sealing key: its line starts with %q", lineMagic)
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, errors.New("the key is not base64url: it is damaged or incomplete")
	}
	if len(secret) != secretSize {
		return nil, fmt.Errorf("the key has %d bytes, not %d: it is damaged or incomplete", len(secret), secretSize)
	}
	return secret, nil
}

// format is the inverse of parse.
func format(secrets ...[]byte) []byte {
	var text []byte
	for _, secret := range secrets {
		text = append(text, lineMagic+base64.RawURLEncoding.EncodeToString(secret)+"\n"...)
	}
	return text
}

// NewLine returns a new sealing key as a line of a source, without a line break, and the
// name of the key. The key is kept nowhere.
func NewLine() (line, name string, err error) {
	secret := newSecret()
	key, err := derive(secret)
	return strings.TrimSuffix(string(format(secret)), "\n"), key.name, err
}
