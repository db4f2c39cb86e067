package remote

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentLint(t *testing.T) {
	const good = "public, max-age=300"
	now := time.Unix(1_800_000_000, 0)
	for name, tt := range map[string]struct {
		address, contentType, cacheControl, expires string
		fresh, age                                  time.Duration
		want                                        []string
	}{
		"good": {"https://a.example/jwks", "application/jwk-set+json", good, "", 5 * time.Minute, 0, nil},
		"JSON": {"https://a.example/jwks", "application/json; charset=utf-8", good, "", 5 * time.Minute, 0, nil},
		"https in capitals": {
			"HTTPS://a.example/jwks", "application/jwk-set+json", good, "", 5 * time.Minute, 0, nil,
		},
		"http": {"http://a.example/jwks", "application/json", good, "", 5 * time.Minute, 0, []string{"error http"}},
		"http to loopback": {
			"http://127.0.0.1:1/jwks", "application/json", good, "", 5 * time.Minute, 0, []string{"info http"},
		},
		"content type": {
			"https://a.example/jwks", "text/html", good, "", 5 * time.Minute, 0, []string{"warning content-type"},
		},
		"no content type": {
			"https://a.example/jwks", "", good, "", 5 * time.Minute, 0, []string{"warning content-type"},
		},
		"no cache headers": {
			"https://a.example/jwks", "application/json", "", "", 5 * time.Minute, 0, []string{"warning cache-headers"},
		},
		"not cached": {
			"https://a.example/jwks", "application/json", "no-store", "", time.Second, 0, []string{"warning cache-headers"},
		},
		"expired": {
			"https://a.example/jwks", "application/json", "", "0", time.Second, 0, []string{"warning cache-headers"},
		},
		"Expires": {
			"https://a.example/jwks", "application/json", "", "Thu, 01 Jan 2099 00:00:00 GMT", time.Hour, 0, nil,
		},
		"old on arrival": {
			"https://a.example/jwks", "application/json", good, "", time.Second, 299 * time.Second, nil,
		},
	} {
		doc := Document{
			URL:         tt.address,
			ContentType: tt.contentType, CacheControl: tt.cacheControl, Expires: tt.expires, Age: tt.age,
			FetchedAt: now, FreshUntil: now.Add(tt.fresh),
		}
		var got []string
		for _, f := range doc.Lint() {
			got = append(got, string(f.Severity)+" "+string(f.Rule))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
