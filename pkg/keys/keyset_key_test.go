package keys

import (
	"errors"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// noon is when the keysets of these tests are created.
var noon = time.Date(2030, time.March, 4, 12, 0, 0, 0, time.UTC)

func noonPlus(d time.Duration) time.Time { return noon.Add(d) }

func newTestKey(t testing.TB) jwk.PublicKey {
	t.Helper()
	k, err := jwk.Generate(jwk.EdDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func TestStateFollowsFromTheStamps(t *testing.T) {
	pending := Key{CreatedAt: noon, ReadyAt: noonPlus(time.Hour)}
	active := pending
	active.ActiveAt = noonPlus(time.Hour)
	retired := active
	retired.RetiredAt, retired.DestroyAt, retired.ExpiresAt = noonPlus(2*time.Hour), noonPlus(3*time.Hour), noonPlus(4*time.Hour)
	revoked := active
	revoked.RevokedAt = noonPlus(2 * time.Hour)
	revokedLate := retired
	revokedLate.RevokedAt = noonPlus(5 * time.Hour)

	for _, tt := range []struct {
		name      string
		k         Key
		at        time.Duration
		want      State
		published bool
	}{
		{"pending", pending, 0, Pending, true},
		{"ready, and still pending", pending, 10 * time.Hour, Pending, true},
		{"active", active, time.Hour, Active, true},
		{"active, by a clock that is behind", active, -time.Hour, Active, true},
		{"retired", retired, 2 * time.Hour, Retired, true},
		{"retired, by a clock that is behind", retired, -time.Hour, Retired, true},
		{"retired, private key destroyed", retired, 3 * time.Hour, Retired, true},
		{"one nanosecond before it expires", retired, 4*time.Hour - 1, Retired, true},
		{"when it expires", retired, 4 * time.Hour, Expired, false},
		{"revoked", revoked, 2 * time.Hour, Revoked, false},
		{"revoked, by a clock that is behind", revoked, 0, Revoked, false},
		{"revoked after it expired", revokedLate, 6 * time.Hour, Revoked, false},
	} {
		if got := tt.k.State(noonPlus(tt.at)); got != tt.want {
			t.Errorf("%s: State = %s, want %s", tt.name, got, tt.want)
		}
		if got := tt.k.published(noonPlus(tt.at)); got != tt.published {
			t.Errorf("%s: published = %t, want %t", tt.name, got, tt.published)
		}
	}
}

func TestWithdrawnErrorHasStateTimeAndReason(t *testing.T) {
	k := newTestKey(t)
	for _, tt := range []struct {
		k    Key
		want WithdrawnError
		text string
	}{
		{
			Key{JWK: k, RetiredAt: noon, ExpiresAt: noonPlus(time.Hour)},
			WithdrawnError{KeyID: k.KeyID(), State: Expired, At: noonPlus(time.Hour)},
			"expired at 2030-03-04T13:00:00Z",
		},
		{
			Key{JWK: k, RetiredAt: noon, ExpiresAt: noonPlus(time.Hour), RevokedAt: noonPlus(2 * time.Hour), Reason: "lost laptop"},
			WithdrawnError{KeyID: k.KeyID(), State: Revoked, At: noonPlus(2 * time.Hour), Reason: "lost laptop"},
			"revoked at 2030-03-04T14:00:00Z (lost laptop)",
		},
	} {
		err, _ := errors.AsType[*WithdrawnError](tt.k.withdrawnError())
		if *err != tt.want {
			t.Errorf("withdrawnError = %+v, want %+v", *err, tt.want)
		}
		if got := err.Withdrawn(); got != tt.text {
			t.Errorf("Withdrawn = %q, want %q", got, tt.text)
		}
		if got, want := err.Error(), "key "+k.KeyID()+" "+tt.text; got != want {
			t.Errorf("Error = %q, want %q", got, want)
		}
	}
}
