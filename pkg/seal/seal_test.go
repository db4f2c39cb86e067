package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

var _ keys.Sealer = (*Sealer)(nil)

func newKey(t testing.TB) sealingKey {
	t.Helper()
	key, err := derive(newSecret())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustSeal(t testing.TB, key sealingKey, plaintext, context []byte) []byte {
	t.Helper()
	sealed, err := key.seal(plaintext, context)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealAndOpen(t *testing.T) {
	key := newKey(t)
	for _, plaintext := range [][]byte{nil, {0}, []byte("secret"), bytes.Repeat([]byte{0xff, 0}, 4096)} {
		for _, context := range [][]byte{nil, []byte("kid-1")} {
			got, err := key.open(mustSeal(t, key, plaintext, context), context)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("Open(Seal(%d bytes, %q)) = %d bytes, %v", len(plaintext), context, len(got), err)
			}
		}
	}
}

func TestEnvelope(t *testing.T) {
	key, plaintext := newKey(t), []byte("a private key")
	one, two := mustSeal(t, key, plaintext, nil), mustSeal(t, key, plaintext, nil)
	if bytes.Equal(one, two) {
		t.Error("two seals of the same bytes are equal")
	}
	if one[0] != 1 || len(one) != 1+12+len(plaintext)+16 {
		t.Errorf("envelope starts with %d and has %d bytes", one[0], len(one))
	}
	if bytes.Contains(one, plaintext) {
		t.Error("the envelope contains the plaintext")
	}
}

func TestOpenChangedEnvelope(t *testing.T) {
	key, context := newKey(t), []byte("kid-1")
	sealed := mustSeal(t, key, []byte("secret"), context)
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if _, err := key.open(changed, context); err == nil {
				t.Errorf("opened with bit %d of byte %d changed", bit, i)
			}
		}
	}
	for n := range sealed {
		if _, err := key.open(sealed[:n], context); err == nil {
			t.Errorf("opened the first %d bytes", n)
		}
	}
	if _, err := key.open(append(bytes.Clone(sealed), 0), context); err == nil {
		t.Error("opened with an additional byte")
	}
	if _, err := key.open(sealed, context); err != nil {
		t.Errorf("the original: %v", err)
	}
}

// The version byte is authenticated, so that the envelope of a later format cannot be
// changed into one of this format.
func TestOpenChangedVersion(t *testing.T) {
	key := newKey(t)
	later := key.aead.Seal([]byte{envelopeVersion}, nil, []byte("secret"), []byte{envelopeVersion + 1})
	if _, err := key.open(later, nil); err == nil {
		t.Error("opened an envelope that was sealed as another version")
	}
}

func TestOpenWithAnotherContextOrKey(t *testing.T) {
	key := newKey(t)
	sealed := mustSeal(t, key, []byte("secret"), []byte("kid-1"))
	for _, context := range []string{"", "kid-2", "kid-1 ", "kid-"} {
		if _, err := key.open(sealed, []byte(context)); err == nil {
			t.Errorf("opened in context %q", context)
		}
	}
	if _, err := newKey(t).open(sealed, []byte("kid-1")); err == nil {
		t.Error("opened with another key")
	}
}

func TestZeroKey(t *testing.T) {
	if _, err := (sealingKey{}).seal([]byte("secret"), nil); err == nil {
		t.Error("the zero Key seals")
	}
	sealed := mustSeal(t, newKey(t), []byte("secret"), nil)
	if _, err := (sealingKey{}).open(sealed, nil); err == nil {
		t.Error("the zero Key opens")
	}
}

func TestName(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, secretSize)
	one, err := derive(secret)
	if err != nil {
		t.Fatal(err)
	}
	two, err := derive(secret)
	if err != nil {
		t.Fatal(err)
	}
	if one.name != two.name {
		t.Errorf("one key file has two names: %s and %s", one.name, two.name)
	}
	if !regexp.MustCompile(`^seal-[0-9a-f]{16}$`).MatchString(one.name) {
		t.Errorf("Name() = %q", one.name)
	}
	if other := newKey(t); other.name == one.name {
		t.Errorf("two key files have one name, %s", one.name)
	}
}

// A key file and an envelope of the first release, which every later release must read.
func TestFormatIsStable(t *testing.T) {
	keys, err := parseKeys([]byte("jwksctl-seal-key-1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n"))
	if err != nil {
		t.Fatal(err)
	}
	key := keys[0]
	if want := "seal-d5f7a3f5b65f5e33"; key.name != want {
		t.Errorf("the name is %s, want %s", key.name, want)
	}
	sealed, err := hex.DecodeString("01b42c905bbb6cf50310b7d0df27e63d264752c90c5e878eee474beccda390d2a1")
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := key.open(sealed, []byte("kid-1")); err != nil || string(plaintext) != "half" {
		t.Errorf("the envelope opens as %q, %v", plaintext, err)
	}
}

func TestKeyDoesNotPrintItself(t *testing.T) {
	key := newKey(t)
	sealer := &Sealer{keys: []sealingKey{key}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "ptr", &key, "sealer", sealer)
	texts := []string{log.String(), key.String(), key.GoString(), sealer.String(), sealer.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, key), fmt.Sprintf(verb, struct{ K sealingKey }{key}), fmt.Sprintf(verb, sealer))
	}
	for _, text := range texts {
		if !strings.Contains(text, redacted) {
			t.Errorf("printed as %q", text)
		}
	}
	for _, v := range []any{key, sealer} {
		if text, err := json.Marshal(v); err == nil {
			t.Errorf("marshalled as %s", text)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key := newKey(f)
	sealed := mustSeal(f, key, []byte("secret"), []byte("kid"))
	f.Add(sealed, []byte("kid"))
	f.Add([]byte{}, []byte{})
	f.Add([]byte{1}, []byte("kid"))
	f.Add(sealed[:len(sealed)-1], []byte("kid"))
	f.Add(bytes.Repeat([]byte{1}, 64), []byte(nil))
	f.Fuzz(func(t *testing.T, data, context []byte) {
		plaintext, err := key.open(data, context)
		if err != nil {
			return
		}
		if !bytes.Equal(data, sealed) || string(context) != "kid" || string(plaintext) != "secret" {
			t.Errorf("opened %x in context %q", data, context)
		}
	})
}
