package keys

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

const testSealingKey = "seal-0123456789abcdef"

// newTestKeyset is created at noon.
func newTestKeyset(t testing.TB, p Policy) Keyset {
	t.Helper()
	ks, _ := createKeyset(p, testSealingKey, noon, newTestKey(t), newTestKey(t))
	return ks
}

// keysetOfAllKinds has the daily policy and every kind of key: active, pending, two
// retired, a specimen, one expired and one revoked.
func keysetOfAllKinds(t testing.TB) Keyset {
	t.Helper()
	ks := newTestKeyset(t, dailyPolicy(t))
	ks.Policy.ExpiredTokens = true
	retired := func(created time.Duration) Key {
		at := noonPlus(created)
		return Key{JWK: newTestKey(t), CreatedAt: at, ReadyAt: at, ActiveAt: at, RetiredAt: noon, DestroyAt: noonPlus(time.Hour), ExpiresAt: at.Add(100 * time.Hour)}
	}
	ks.Keys = append(ks.Keys, retired(-2*time.Hour), retired(-time.Hour))
	ks.Specimen = &Key{JWK: newTestKey(t), CreatedAt: noon, RetiredAt: noon, ExpiresAt: noon}
	expired := retired(-200 * time.Hour)
	expired.DestroyedAt = noon
	revoked := Key{JWK: newTestKey(t), CreatedAt: noonPlus(-300 * time.Hour), RevokedAt: noon, DestroyedAt: noon, Reason: "lost laptop"}
	ks.History = []Key{revoked, expired}
	return ks
}

func kids(ks ...Key) (out []string) {
	for _, k := range ks {
		out = append(out, k.KeyID())
	}
	return out
}

func publicKids(ks []jwk.PublicKey) (out []string) {
	for _, k := range ks {
		out = append(out, k.KeyID())
	}
	return out
}

func document(t testing.TB, ks Keyset) []byte {
	t.Helper()
	text, err := json.Marshal(ks)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDocumentIsReadAsItWasWritten(t *testing.T) {
	want := keysetOfAllKinds(t)
	text, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeKeyset(Record{Version: 1, Document: text})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decodeKeyset (-want +got):\n%s", diff)
	}
	if strings.Contains(string(text), "0001-01-01") {
		t.Errorf("a stamp that does not apply is written: %s", text)
	}
}

// The document of an existing store is read, and written with the same bytes.
func TestAnExistingDocumentIsRead(t *testing.T) {
	want, err := os.ReadFile("testdata/keyset-schema1.json")
	if err != nil {
		t.Fatal(err)
	}
	ks, err := decodeKeyset(Record{Version: 1, Document: want})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ks.encode()
	if err != nil || string(got) != string(want) {
		t.Errorf("encode = %v (-want +got):\n%s", err, cmp.Diff(string(want), string(got)))
	}
}

func TestBrokenDocumentsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		breaks func(*Keyset)
		want   string
	}{
		{"newer schema", func(ks *Keyset) { ks.Schema = 2 }, "schema 2 is not 1; use the jwksctl that wrote it"},
		{"no id", func(ks *Keyset) { ks.ID = "" }, "is missing"},
		{"no sealing key", func(ks *Keyset) { ks.SealingKey = "" }, "is missing"},
		{"no change", func(ks *Keyset) { ks.ChangedAt = time.Time{} }, "is missing"},
		{"no version", func(ks *Keyset) { ks.Version = 0 }, "is missing"},
		{"an invalid policy", func(ks *Keyset) { ks.Policy.JWKSMaxAge = 12 * time.Hour }, "does not hold"},
		{"no active key", func(ks *Keyset) { ks.Keys = ks.Keys[1:] }, "0 active and 1 pending keys"},
		{"no keys", func(ks *Keyset) { ks.Keys = nil }, "0 active and 0 pending keys"},
		{"two active keys", func(ks *Keyset) { ks.Keys[1].ActiveAt = noon }, "2 active and 0 pending keys"},
		{"two pending keys", func(ks *Keyset) { ks.Keys = append(ks.Keys, Key{JWK: newTestKey(t), CreatedAt: noon}) }, "1 active and 2 pending keys"},
		{"a kid twice", func(ks *Keyset) { ks.Keys[1].JWK = ks.Keys[0].JWK }, " twice"},
		{"a kid that has left", func(ks *Keyset) { ks.History[0].JWK = ks.Keys[0].JWK }, " twice"},
		{"a specimen that is published", func(ks *Keyset) { ks.Specimen.JWK = ks.Keys[0].JWK }, " twice"},
		{"a revoked key is published", func(ks *Keyset) { ks.Keys[2].RevokedAt = noon }, "is among the published keys"},
		{"retired and never expires", func(ks *Keyset) { ks.Keys[2].ExpiresAt = time.Time{} }, "is retired and never expires"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := keysetOfAllKinds(t)
			tt.breaks(&ks)
			_, err := decodeKeyset(Record{Version: ks.Version, Document: document(t, ks)})
			if !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("decodeKeyset = %v, want %q", err, tt.want)
			}
			if _, err := ks.encode(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("encode = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestForeignDocumentsAreRefused(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	good := string(document(t, ks))
	kid := `"kid":"` + ks.Keys[0].KeyID()
	for _, tt := range []struct{ name, old, repl, want string }{
		{"not JSON", good, "keys", "invalid character"},
		{"empty", good, "", "EOF"},
		{"trailing data", good, good + "{}", "after top-level value"},
		{"an unknown member", `"schema"`, `"colour":"red","schema"`, `unknown object member name "colour"`},
		{"an unknown member of a key", `"created_at"`, `"x":1,"created_at"`, `unknown object member name "x"`},
		{"a member in capitals", `"schema"`, `"SCHEMA"`, `unknown object member name "SCHEMA"`},
		{"a member twice", `"schema":1`, `"schema":1,"schema":1`, `duplicate object member name "schema"`},
		{"a member of the policy twice", `"leeway":"1m0s"`, `"leeway":"1m0s","leeway":"1m0s"`, `duplicate object member name "leeway"`},
		{"invalid UTF-8", "issuer.example", "issuer\xff.example", "invalid UTF-8"},
		{"another version than the store's", `"version":1`, `"version":2`, "it says version 2, the store says 1"},
		{"a kid that is not the thumbprint", kid, kid + "x", "is not the key's thumbprint"},
		{"no kid", kid + `",`, "", `kid "" is not the key's thumbprint`},
		{"no alg", `"alg":"EdDSA",`, "", "has no alg"},
		{"a private key", `"crv"`, `"d":"AAAA","crv"`, `private member "d"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(good, tt.old, tt.repl, 1)
			if text == good {
				t.Fatalf("%q is not in %s", tt.old, good)
			}
			_, err := decodeKeyset(Record{Version: 1, Document: []byte(text)})
			if !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("decodeKeyset = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestActiveAndPending(t *testing.T) {
	ks := keysetOfAllKinds(t)
	if got := ks.Active().KeyID(); got != ks.Keys[0].KeyID() {
		t.Errorf("Active = %s", got)
	}
	if got, ok := ks.Pending(); !ok || got.KeyID() != ks.Keys[1].KeyID() {
		t.Errorf("Pending = %s, %t", got.KeyID(), ok)
	}
	ks.Keys = slices.Delete(ks.Keys, 1, 2)
	ks.Keys[1].ActiveAt = time.Time{} // a retired key that never signed is not a pending one
	if got, ok := ks.Pending(); ok {
		t.Errorf("Pending without one = %s", got.KeyID())
	}
}

func TestPublicIsSortedAndKeysLeaveOnTime(t *testing.T) {
	ks := keysetOfAllKinds(t)
	active, pending, older, newer := ks.Keys[0], ks.Keys[1], ks.Keys[2], ks.Keys[3]
	for _, tt := range []struct {
		at    time.Duration
		want  []Key
		until time.Time
	}{
		{0, []Key{active, pending, newer, older}, older.ExpiresAt},
		{-300 * time.Hour, []Key{active, pending, newer, older}, older.ExpiresAt}, // a clock that is behind brings no key back
		{98*time.Hour - 1, []Key{active, pending, newer, older}, older.ExpiresAt},
		{98 * time.Hour, []Key{active, pending, newer}, newer.ExpiresAt},
		{99 * time.Hour, []Key{active, pending}, time.Time{}},
	} {
		if diff := cmp.Diff(kids(tt.want...), publicKids(ks.Public(noonPlus(tt.at)))); diff != "" {
			t.Errorf("after %v: Public (-want +got):\n%s", tt.at, diff)
		}
		if got := ks.publicUntil(noonPlus(tt.at)); !got.Equal(tt.until) {
			t.Errorf("after %v: until %v, want %v", tt.at, got, tt.until)
		}
	}
	want := kids(active, pending, newer, older, *ks.Specimen, ks.History[1], ks.History[0])
	if diff := cmp.Diff(want, kids(ks.Sorted(noon)...)); diff != "" {
		t.Errorf("Sorted (-want +got):\n%s", diff)
	}
}

func TestFind(t *testing.T) {
	ks := keysetOfAllKinds(t)
	for _, k := range ks.Keys {
		if got, err := ks.Find(k.KeyID(), noon); err != nil || !slices.Equal(publicKids(got), kids(k)) {
			t.Errorf("Find of a %s key = %v, %v", k.State(noon), publicKids(got), err)
		}
	}
	if got, err := ks.Find("", noon); err != nil || len(got) != 4 {
		t.Errorf("Find of no kid = %d keys, %v, want all four", len(got), err)
	}
	if got, err := ks.Find("unknown", noon); got != nil || err != nil {
		t.Errorf("Find of an unknown kid = %v, %v", got, err)
	}
	for _, tt := range []struct {
		name string
		k    Key
		at   time.Duration
		want State
	}{
		{"retired, until it expires", ks.Keys[2], 98 * time.Hour, Expired},
		{"specimen", *ks.Specimen, 0, Expired},
		{"expired", ks.History[1], 0, Expired},
		{"expired, by a clock that is behind", ks.History[1], -150 * time.Hour, Expired},
		{"revoked", ks.History[0], 0, Revoked},
		{"revoked, by a clock that is behind", ks.History[0], -time.Hour, Revoked},
	} {
		got, err := ks.Find(tt.k.KeyID(), noonPlus(tt.at))
		withdrawn, ok := errors.AsType[*WithdrawnError](err)
		if !ok || withdrawn.State != tt.want || got != nil {
			t.Errorf("Find of a key that is %s = %v, %v", tt.name, publicKids(got), err)
		}
	}
}

func FuzzDocument(f *testing.F) {
	for _, ks := range []Keyset{newTestKeyset(f, dailyPolicy(f)), keysetOfAllKinds(f)} {
		f.Add(document(f, ks))
	}
	policy := newTestPolicy(f, Settings{RotationInterval: 4 * time.Second})
	f.Add(document(f, newTestKeyset(f, policy)))
	f.Add([]byte(`{"schema":1,"version":1,"keys":null}`))
	f.Add([]byte(`{"schema":2}`))
	f.Add([]byte(`[]`))
	fresh := newTestKey(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var head struct{ Version uint64 }
		_ = json.Unmarshal(data, &head) // decodeKeyset reports the error
		ks, err := decodeKeyset(Record{Version: head.Version, Document: data})
		if err != nil {
			if !errors.Is(err, ErrDocument) {
				t.Fatalf("decodeKeyset = %v, not an ErrDocument", err)
			}
			return
		}
		text, err := ks.encode()
		if err != nil {
			t.Fatalf("encode after decode: %v", err)
		}
		again, err := decodeKeyset(Record{Version: ks.Version, Document: text})
		if err != nil {
			t.Fatalf("decode after encode: %v\n%s", err, text)
		}
		if diff := cmp.Diff(ks, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("decoded, encoded and decoded again (-first +second):\n%s", diff)
		}
		takeEveryStep(t, ks, fresh)
	})
}

// allOpened is the StepInput.Opened of a process that opened every private key.
func allOpened(string) bool { return true }

// takeEveryStep takes each step on a keyset and validates the result.
func takeEveryStep(t *testing.T, ks Keyset, fresh jwk.PublicKey) {
	t.Helper()
	now := latest(ks.ChangedAt, ks.Next())
	m := StepInput{Fresh: fresh, Opened: allOpened}
	forced := StepRequest{Force: true, Reason: "fuzz"}
	check := func(name string, next Keyset, err error) {
		if err == nil {
			err = next.validate()
		} else if _, ok := errors.AsType[*Refusal](err); ok {
			return
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	next, _, _ := ks.Advance(now, m)
	check("Advance", next, nil)
	next, _, err := ks.Rotate(now, m, forced)
	check("Rotate", next, err)
	next, _, err = ks.Revoke(now, ks.Active().KeyID(), m, forced)
	check("Revoke", next, err)
	next, _, err = ks.Import(now, m)
	check("Import", next, err)
	p := ks.Policy
	p.Issuer = "https://other.example"
	next, _, err = ks.SetPolicy(now, p, m)
	check("SetPolicy", next, err)
}
