package remote

import (
	"strings"
	"testing"
	"time"
)

func FuzzCacheControl(f *testing.F) {
	for _, seed := range []string{
		"", "max-age=60", "public, max-age=60, must-revalidate", `max-age="60"`, "no-store", "NO-CACHE=\"a,b\"",
		"max-age=99999999999999999999", "max-age=-1", "max-age", ",,,=,", `x="\`, `x="a,max-age=1`, "stale-if-error=1,stale-if-error=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		cc := parseCacheControl(header)
		for _, d := range []*time.Duration{cc.maxAge, cc.staleIfError} {
			if d != nil && (*d < 0 || *d > maxDelta*time.Second || *d%time.Second != 0) {
				t.Errorf("%q: %s is no count of seconds", header, *d)
			}
		}
		// A directive that forbids caching counts after any other text too.
		if strings.Contains(header, `"`) {
			return
		}
		if more := parseCacheControl(header + ", no-store, max-age=0"); !more.noStore || *more.maxAge != 0 {
			t.Errorf("%q hides the directives that follow it", header)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		`{"issuer":"https://a","jwks_uri":"https://a/k"}`, `{}`, `{"issuer":1}`, `null`, `{"issuer":"a","issuer":"b","jwks_uri":"c"}`, `{"issuer":"a","jwks_uri":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseMetadata(body)
		if (err == nil) != (m.Issuer != "" && m.JWKSURL != "") {
			t.Errorf("metadata %v, error %v", m, err)
		}
	})
}
