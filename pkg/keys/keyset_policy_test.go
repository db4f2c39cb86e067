package keys

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

const testIssuer = "https://issuer.example"

func newTestPolicy(t testing.TB, s Settings) Policy {
	t.Helper()
	if s.Issuer == "" {
		s.Issuer = testIssuer
	}
	p, err := NewPolicy(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// dailyPolicy has R 24h, T 1h, M 5m, D 1h, L 1m, e 5s, keys that are quick to
// generate, and no specimen.
func dailyPolicy(t testing.TB) Policy {
	t.Helper()
	return newTestPolicy(t, Settings{Algorithm: jwk.EdDSA, ExpiredTokens: new(false)})
}

func TestDefaultsFollowFromTheRotationInterval(t *testing.T) {
	for _, tt := range []struct{ stated, r, t, m, d, l, e time.Duration }{
		{4 * time.Second, 4 * time.Second, 4 * time.Second, time.Second, time.Second, time.Second, 400 * time.Millisecond},
		{10 * time.Second, 10 * time.Second, 10 * time.Second, time.Second, 2500 * time.Millisecond, time.Second, time.Second},
		{90 * time.Second, 90 * time.Second, 90 * time.Second, 7 * time.Second, 22500 * time.Millisecond, 7 * time.Second, 5 * time.Second},
		{time.Hour, time.Hour, time.Hour, 5 * time.Minute, 15 * time.Minute, time.Minute, 5 * time.Second},
		{0, 24 * time.Hour, time.Hour, 5 * time.Minute, time.Hour, time.Minute, 5 * time.Second},
		{maxDuration, maxDuration, time.Hour, 5 * time.Minute, time.Hour, time.Minute, 5 * time.Second},
	} {
		want := Policy{
			RotationInterval: tt.r, TokenTTL: tt.t, JWKSMaxAge: tt.m, MaxStaleness: tt.d, Leeway: tt.l, ClockSkew: tt.e,
			Algorithm: jwk.RS256, KeySize: 2048, Issuer: testIssuer, ExpiredTokens: true,
		}
		if diff := cmp.Diff(want, newTestPolicy(t, Settings{RotationInterval: tt.stated})); diff != "" {
			t.Errorf("R = %v (-want +got):\n%s", tt.stated, diff)
		}
	}
}

func TestTheTableHasEverySetting(t *testing.T) {
	var p Policy
	fields := p.fields(Settings{})
	for i := range reflect.TypeFor[Policy]().NumField() {
		at := reflect.ValueOf(&p).Elem().Field(i).Addr().Interface()
		if !slices.ContainsFunc(fields, func(f policyField) bool { return f.at == at }) {
			t.Errorf("the table has no row for %s", reflect.TypeFor[Policy]().Field(i).Name)
		}
	}
	if got := reflect.TypeFor[Settings]().NumField(); got != len(fields)+1 { // MinClockSkew is of the store
		t.Errorf("Settings has %d fields, want %d", got, len(fields)+1)
	}
}

func TestDurationsHaveBounds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(*Settings, time.Duration)
		least time.Duration
	}{
		{"rotation_interval", func(s *Settings, d time.Duration) { s.RotationInterval = d }, 4 * time.Second},
		{"token_ttl", func(s *Settings, d time.Duration) { s.TokenTTL = d }, time.Second},
		{"jwks_max_age", func(s *Settings, d time.Duration) { s.JWKSMaxAge = d }, time.Second},
		{"max_staleness", func(s *Settings, d time.Duration) { s.MaxStaleness = d }, time.Second},
		{"leeway", func(s *Settings, d time.Duration) { s.Leeway = d }, time.Second},
		{"clock_skew", func(s *Settings, d time.Duration) { s.ClockSkew = d }, 100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Settings{Issuer: testIssuer}
			if tt.set(&s, tt.least); refusedPolicy(s) != "" {
				t.Errorf("%v is refused: %s", tt.least, refusedPolicy(s))
			}
			for _, d := range []time.Duration{tt.least - 1, -time.Hour, maxDuration + time.Second} {
				tt.set(&s, d)
				if got := refusedPolicy(s); !strings.Contains(got, tt.name+" must be between "+tt.least.String()) {
					t.Errorf("%v: %q", d, got)
				}
			}
		})
	}
}

func refusedPolicy(s Settings) string {
	if _, err := NewPolicy(s); err != nil {
		return err.Error()
	}
	return ""
}

func TestSumsOfDurations(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Settings
		want string
	}{
		{"the next key is just ready in time", Settings{MaxStaleness: 24*time.Hour - 10*time.Minute - 10*time.Second}, ""},
		{
			"the next key is not ready in time",
			Settings{MaxStaleness: 24*time.Hour - 10*time.Minute - 9*time.Second},
			"max_staleness + 2*jwks_max_age + 2*clock_skew <= rotation_interval does not hold: 23h49m51s + 2*5m0s + 2*5s = 24h0m1s, more than 24h0m0s: " +
				"the next key could not be ready in time; lower them or rotate less often",
		},
		{"max-age counts twice", Settings{JWKSMaxAge: 12 * time.Hour}, "1h0m0s + 2*12h0m0s + 2*5s = 25h0m10s, more than 24h0m0s"},
		{"retired keys just do not pile up", Settings{TokenTTL: 8*24*time.Hour - time.Hour - time.Minute - 10*time.Second}, ""},
		{
			"retired keys pile up",
			Settings{TokenTTL: 8*24*time.Hour - time.Hour - time.Minute - 9*time.Second},
			"max_staleness + token_ttl + leeway + 2*clock_skew <= 8*rotation_interval does not hold: " +
				"1h0m0s + 190h58m51s + 1m0s + 2*5s = 192h0m1s, more than 192h0m0s: retired keys would pile up; lower them or rotate less often",
		},
		{"leeway counts", Settings{Leeway: 191 * time.Hour}, "1h0m0s + 1h0m0s + 191h0m0s + 2*5s = 193h0m10s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.Issuer = testIssuer
			got := refusedPolicy(tt.s)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("NewPolicy = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPolicyRefusals(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Settings
		want []string
	}{
		{"fractions of a second in max-age", Settings{JWKSMaxAge: 1500 * time.Millisecond}, []string{"jwks_max_age must be whole seconds", "1.5s"}},
		{"unknown algorithm", Settings{Algorithm: "HS256"}, []string{`algorithm: unknown algorithm "HS256"`, "RS256", "EdDSA"}},
		{"RSA too small", Settings{KeySize: 1024}, []string{"key_size: RS256 takes [2048 3072 4096] bits, not 1024"}},
		{"a size for a curve", Settings{Algorithm: jwk.ES256, KeySize: 256}, []string{"key_size: ES256 keys have one size; leave it out"}},
		{"every problem at once", Settings{TokenTTL: 1, Leeway: 1, KeySize: 1}, []string{"token_ttl", "leeway", "key_size"}},
		{"issuer is relative", Settings{Issuer: "issuer.example"}, []string{`issuer: "issuer.example" is not an absolute http or https URL`}},
		{"issuer has another scheme", Settings{Issuer: "ftp://issuer.example"}, []string{"not an absolute http or https URL"}},
		{"issuer has no host", Settings{Issuer: "https:///path"}, []string{"not an absolute http or https URL"}},
		{"issuer is no URL", Settings{Issuer: "https://a b"}, []string{`issuer: "https://a b" is not a URL`}},
		{"issuer has a query", Settings{Issuer: "https://a/?q=1"}, []string{"must have no user, query or fragment"}},
		{"issuer has an empty query", Settings{Issuer: "https://a/?"}, []string{"must have no user, query or fragment"}},
		{"issuer has a fragment", Settings{Issuer: "https://a/#f"}, []string{"must have no user, query or fragment"}},
		{"issuer has a user", Settings{Issuer: "https://u:hush@a/"}, []string{"must have no user, query or fragment"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.s.Issuer == "" {
				tt.s.Issuer = testIssuer
			}
			got := refusedPolicy(tt.s)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("NewPolicy = %q, want %q", got, want)
				}
			}
			if strings.Contains(got, "hush") {
				t.Errorf("the error contains a password: %s", got)
			}
		})
	}
	if got := refusedPolicy(Settings{Issuer: testIssuer, MaxStaleness: maxDuration + 1}); strings.Contains(got, "does not hold") {
		t.Errorf("a duration that is out of bounds is also part of a sum: %s", got)
	}
	p := newTestPolicy(t, Settings{Algorithm: jwk.EdDSA})
	p.Algorithm = "Ed25519"
	if err := p.validate(); err == nil || !strings.Contains(err.Error(), "Ed25519 is named EdDSA here") {
		t.Errorf("an algorithm with its other name: %v", err)
	}
	if got := refusedPolicy(Settings{}); got != "issuer: is not set" {
		t.Errorf("without an issuer: %q", got)
	}
	for _, issuer := range []string{"https://a", "http://127.0.0.1:8080/tenant"} {
		if got := refusedPolicy(Settings{Issuer: issuer}); got != "" {
			t.Errorf("%s: %s", issuer, got)
		}
	}
}

func TestPolicyWith(t *testing.T) {
	stated := newTestPolicy(t, Settings{TokenTTL: 30 * time.Minute, Leeway: 2 * time.Minute})
	for _, tt := range []struct {
		name string
		p    Policy
		s    Settings
		want func(*Policy)
	}{
		{"nothing stated changes nothing", stated, Settings{}, func(*Policy) {}},
		{"derived durations follow R, stated ones stay", stated, Settings{RotationInterval: time.Hour}, func(p *Policy) {
			p.RotationInterval, p.MaxStaleness = time.Hour, 15*time.Minute
		}},
		{"stated together", stated, Settings{RotationInterval: time.Hour, MaxStaleness: time.Minute}, func(p *Policy) {
			p.RotationInterval, p.MaxStaleness = time.Hour, time.Minute
		}},
		{"R back and forth", stated, Settings{RotationInterval: 24 * time.Hour}, func(*Policy) {}},
		{"issuer and specimen", stated, Settings{Issuer: "http://other", ExpiredTokens: new(false)}, func(p *Policy) {
			p.Issuer, p.ExpiredTokens = "http://other", false
		}},
		{"a valid size stays", newTestPolicy(t, Settings{KeySize: 3072}), Settings{Algorithm: jwk.PS512}, func(p *Policy) { p.Algorithm = jwk.PS512 }},
		{"a size is dropped", stated, Settings{Algorithm: jwk.ES256}, func(p *Policy) { p.Algorithm, p.KeySize = jwk.ES256, 0 }},
		{"a size is needed", dailyPolicy(t), Settings{Algorithm: jwk.RS384}, func(p *Policy) { p.Algorithm, p.KeySize = jwk.RS384, 2048 }},
		{"an algorithm with its other name", stated, Settings{Algorithm: "Ed25519"}, func(p *Policy) { p.Algorithm, p.KeySize = jwk.EdDSA, 0 }},
		{"a size is stated", stated, Settings{KeySize: 4096}, func(p *Policy) { p.KeySize = 4096 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.p
			tt.want(&want)
			got, err := tt.p.With(tt.s)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("With (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyDifferences(t *testing.T) {
	p := newTestPolicy(t, Settings{})
	q, err := p.With(Settings{TokenTTL: time.Minute, Algorithm: jwk.EdDSA, Issuer: "http://other", ExpiredTokens: new(false)})
	if err != nil {
		t.Fatal(err)
	}
	want := []Difference{
		{"token_ttl", "1h0m0s", "1m0s"},
		{"algorithm", "RS256", "EdDSA"},
		{"key_size", "2048", "0"},
		{"issuer", testIssuer, "http://other"},
		{"expired_tokens", "true", "false"},
	}
	if diff := cmp.Diff(want, p.Differences(q)); diff != "" {
		t.Errorf("Differences (-want +got):\n%s", diff)
	}
	if got := p.Differences(p); got != nil {
		t.Errorf("a policy differs from itself: %v", got)
	}
}

func TestPolicyJSON(t *testing.T) {
	const daily = `{"rotation_interval":"24h0m0s","token_ttl":"1h0m0s","jwks_max_age":"5m0s","max_staleness":"1h0m0s","leeway":"1m0s","clock_skew":"5s",` +
		`"algorithm":"EdDSA","issuer":"https://issuer.example","expired_tokens":false}`
	text, err := json.Marshal(dailyPolicy(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(daily, string(text)); diff != "" {
		t.Errorf("MarshalJSON (-want +got):\n%s", diff)
	}
	for _, p := range []Policy{dailyPolicy(t), newTestPolicy(t, Settings{RotationInterval: 4 * time.Second, KeySize: 3072})} {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again Policy
		if err := json.Unmarshal(text, &again); err != nil || again != p {
			t.Errorf("read back as %+v, %v, want %+v", again, err, p)
		}
	}
	for _, tt := range []struct{ name, old, repl, want string }{
		{"unknown member", `"issuer"`, `"audience":"x","issuer"`, `unknown members ["audience"]`},
		{"a number for a duration", `"5s"`, `5`, "JSON number"},
		{"not a duration", `"5s"`, `"5"`, "policy clock_skew: "},
		{"a duration is missing", `"leeway":"1m0s",`, ``, "leeway must be between"},
		{"a sum is too large", `"jwks_max_age":"5m0s"`, `"jwks_max_age":"13h0m0s"`, "does not hold"},
		{"no algorithm", `"algorithm":"EdDSA",`, ``, "algorithm: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Policy
			err := json.Unmarshal([]byte(strings.Replace(daily, tt.old, tt.repl, 1)), &p)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Unmarshal = %v, want %q", err, tt.want)
			}
		})
	}
}

// A bad interval is one problem: the durations that derive from it are no further
// ones.
func TestABadIntervalIsOneProblem(t *testing.T) {
	for interval, stated := range map[time.Duration]time.Duration{
		time.Second:     0,
		2 * maxDuration: 0,
		3 * time.Second: 100 * time.Millisecond,
	} {
		_, err := NewPolicy(Settings{RotationInterval: interval, MaxStaleness: stated, Issuer: "https://auth.example.com"})
		if err == nil {
			t.Fatalf("%v is valid", interval)
		}
		want := 1
		if stated != 0 {
			want = 2
		}
		if got := len(strings.Split(err.Error(), "\n")); got != want {
			t.Errorf("%v, %v: %d problems, want %d: %v", interval, stated, got, want, err)
		}
	}
}

// An engine may need a longer clock_skew than the default.
func TestTheStoresLeastClockSkew(t *testing.T) {
	const least = 8 * time.Second
	for _, tt := range []struct{ stated, interval, want time.Duration }{
		{0, 40 * time.Second, least},
		{0, 0, least},
		{least, time.Hour, least},
		{9 * time.Second, time.Hour, 9 * time.Second},
	} {
		p := newTestPolicy(t, Settings{RotationInterval: tt.interval, ClockSkew: tt.stated, MinClockSkew: least})
		if p.ClockSkew != tt.want {
			t.Errorf("R %v, clock_skew %v stated: %v, want %v", tt.interval, tt.stated, p.ClockSkew, tt.want)
		}
		if next, err := p.With(Settings{RotationInterval: 10 * time.Hour, MinClockSkew: least}); err != nil || next.ClockSkew != tt.want {
			t.Errorf("%v after a change of R: %v, %v", tt.want, next.ClockSkew, err)
		}
	}
	tooShort := Settings{ClockSkew: least - 1, MinClockSkew: least, Issuer: testIssuer}
	for _, err := range []error{tooShort.Validate(), errOf(NewPolicy(tooShort)), errOf(dailyPolicy(t).With(tooShort)), errOf(dailyPolicy(t).With(Settings{MinClockSkew: least}))} {
		if !errors.Is(err, ErrClockSkew) || !strings.Contains(err.Error(), "must be at least 8s: raise it") {
			t.Errorf("a clock_skew that is too short for the store: %v", err)
		}
	}
	if err := (Settings{RotationInterval: time.Hour, MinClockSkew: least}).Validate(); err != nil {
		t.Errorf("no clock_skew is stated: %v", err)
	}
}

func errOf(_ Policy, err error) error { return err }
