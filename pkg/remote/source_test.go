package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

var (
	_ token.KeySource = (*remote.Source)(nil)
	_ token.KeySource = remote.Static{}
)

// holds asserts that the source has exactly one key under the kid of each key.
func holds(t *testing.T, s *remote.Source, keys ...jwk.PublicKey) {
	t.Helper()
	for _, key := range keys {
		got, err := s.Keys(t.Context(), key.KeyID())
		if err != nil || len(got) != 1 || !got[0].Equal(key) {
			t.Errorf("after %d keys, error %v: want the key %s", len(got), err, key.KeyID())
		}
	}
}

// denies asserts that the source knows that there is no such key.
func denies(t *testing.T, s *remote.Source, kid string) {
	t.Helper()
	if got, err := s.Keys(t.Context(), kid); err != nil || len(got) != 0 {
		t.Errorf("kid %s: %d keys, error %v, want none", kid, len(got), err)
	}
}

func asked(t *testing.T, server *origin, want int) {
	t.Helper()
	if got := len(server.requests()); got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
}

func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newKey(t), newKey(t)
		body := strings.Replace(setOf(t, a, b), "[", `[{"kty":"oct","kid":"secret"},`, 1)
		server, source := newOrigin(t, says(body), remote.Options{})
		asked(t, server, 0)
		holds(t, source, a, b)
		all, err := source.Keys(t.Context(), "")
		if err != nil || len(all) != 2 {
			t.Fatalf("%d keys, error %v, want both", len(all), err)
		}
		all[0] = b // what a caller does to its answer is its own business
		holds(t, source, a, b)

		doc, err := source.Document(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		doc.Set.Keys[0], doc.Raw[0], doc.Problems[0].KeyID = b, 'x', ""
		again, err := source.Document(t.Context())
		if err != nil || !again.Set.Keys[0].Equal(a) || again.Raw[0] != '{' || again.Problems[0].KeyID != "secret" {
			t.Errorf("a caller changed the cache, error %v", err)
		}
		asked(t, server, 1)
	})
}

func TestAsksAgainWhenNoLongerFresh(t *testing.T) {
	tests := []struct {
		control string
		per     time.Duration // one request in this time
	}{
		{"max-age=30", 30 * time.Second},
		{"no-store", time.Second},
		{"no-cache", time.Second},
		{"max-age=0", time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.control, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newKey(t)
				server, source := newOrigin(t, says(setOf(t, a), "Cache-Control", tt.control), remote.Options{})
				for range 3 {
					holds(t, source, a)
					time.Sleep(tt.per - time.Millisecond)
					holds(t, source, a)
					time.Sleep(time.Millisecond)
				}
				asked(t, server, 3)
			})
		})
	}
}

func TestNotModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newKey(t), newKey(t)
		const modified = "Mon, 01 Jun 2026 10:00:00 GMT"
		server, source := newOrigin(t, says(setOf(t, a),
			"ETag", `"v1"`, "Last-Modified", modified, "Cache-Control", "max-age=60", "Age", "10"), remote.Options{})
		holds(t, source, a)

		server.answers(fails(http.StatusNotModified))
		time.Sleep(50 * time.Second)
		holds(t, source, a)
		asked(t, server, 2)
		last := server.requests()[1]
		if last.Get("If-None-Match") != `"v1"` || last.Get("If-Modified-Since") != modified {
			t.Errorf("the request is not conditional: %v", last)
		}

		// A field that the 304 does not repeat keeps its value, but the Age of the first answer no longer counts.
		time.Sleep(60*time.Second - time.Millisecond)
		holds(t, source, a)
		asked(t, server, 2)
		server.answers(says(setOf(t, a, b), "ETag", `"v2"`))
		time.Sleep(time.Millisecond)
		holds(t, source, a)
		asked(t, server, 3)
		if tag := server.requests()[2].Get("If-None-Match"); tag != `"v1"` {
			t.Errorf("after a 304 that repeats no ETag, If-None-Match is %s", tag)
		}
		if doc, err := source.Document(t.Context()); err != nil || doc.ETag != `"v2"` {
			t.Errorf("ETag %s, error %v", doc.ETag, err)
		}
	})
}

// A key that its issuer withdrew is unknown from the next document on, whatever caused
// the request for that document.
func TestWithdrawnKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newKey(t), newKey(t)
		server, source := newOrigin(t, says(setOf(t, a)), remote.Options{})
		holds(t, source, a)
		server.answers(says(setOf(t, b)))
		holds(t, source, b)
		denies(t, source, a.KeyID())

		server.answers(says(setOf(t, a)))
		time.Sleep(5 * time.Minute)
		holds(t, source, a)
		time.Sleep(30 * time.Second)
		denies(t, source, b.KeyID())
	})
}

func TestUnknownKidGetsPastProxies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newKey(t), newKey(t)
		stale, current := says(setOf(t, a), "ETag", `"v1"`), says(setOf(t, a, b))
		server, source := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Cache-Control") == "no-cache" {
				current(w, r)
			} else {
				stale(w, r)
			}
		}, remote.Options{})
		holds(t, source, b)
		asked(t, server, 2)
		if got := server.requests()[0].Get("Cache-Control"); got != "" {
			t.Errorf("the first request says %q: a herd of verifiers should be served by the proxy", got)
		}
	})
}

func TestKidStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newKey(t), newKey(t)
		server, source := newOrigin(t, says(setOf(t, a)), remote.Options{})
		for i := range 20 {
			denies(t, source, fmt.Sprintf("random-%d", i))
			holds(t, source, a)
			time.Sleep(500 * time.Millisecond)
		}
		asked(t, server, 2)

		server.answers(says(setOf(t, a, b)))
		time.Sleep(20*time.Second - time.Millisecond)
		denies(t, source, b.KeyID())
		asked(t, server, 2)
		time.Sleep(time.Millisecond)
		holds(t, source, a, b)
		asked(t, server, 3)
	})
}

// Many unknown kids during an outage must not lead to more requests than the limit.
func TestKidStormInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		server, source := newOrigin(t, says(setOf(t, a), "Cache-Control", "max-age=3600"), remote.Options{})
		holds(t, source, a)
		server.answers(fails(http.StatusServiceUnavailable))
		for i := range 80 {
			denies(t, source, fmt.Sprintf("random-%d", i))
			holds(t, source, a)
			time.Sleep(500 * time.Millisecond)
		}
		asked(t, server, 3)
	})
}

// A failed request for an unknown kid must not delay the next regular renewal.
func TestUnknownKidDoesNotPutOffRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		good := says(setOf(t, a), "Cache-Control", "max-age=300, must-revalidate", "Last-Modified", "Mon, 01 Jun 2026 10:00:00 GMT")
		server, source := newOrigin(t, good, remote.Options{})
		holds(t, source, a)
		server.answers(fails(http.StatusBadGateway))
		for range 10 {
			time.Sleep(29900 * time.Millisecond)
			denies(t, source, "made up")
		}
		if server.requests()[1].Get("If-Modified-Since") != "" {
			t.Error("a key of the same second as the set would not be found")
		}
		server.answers(good)
		time.Sleep(time.Second)
		holds(t, source, a)
	})
}

func TestOutage(t *testing.T) {
	private := `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"p","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`
	outages := map[string]http.HandlerFunc{
		"503":         fails(http.StatusServiceUnavailable),
		"hang":        hangs,
		"html":        says("<html>"),
		"empty set":   says(`{"keys":[]}`),
		"truncated":   says(`{"keys":[{`),
		"no good key": says(private),
		"a new 304":   fails(http.StatusNotModified),
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newKey(t), newKey(t)
				server, source := newOrigin(t, says(setOf(t, a), "Cache-Control", "max-age=60"), remote.Options{MaxStale: 10 * time.Minute})
				holds(t, source, a)
				begin := time.Now()
				until := func(d time.Duration) { time.Sleep(time.Until(begin.Add(d))) }
				server.answers(outage)

				// Fresh: a kid that is not in the document is unknown.
				denies(t, source, b.KeyID())
				until(time.Minute)
				// Stale: its keys are still used, but a kid that it lacks may exist by now.
				holds(t, source, a)
				_, err := source.Keys(t.Context(), b.KeyID())
				checkUnavailable(t, err, "localhost")
				asked(t, server, 3)
				until(10*time.Minute + 50*time.Second)
				holds(t, source, a)
				until(11 * time.Minute)
				_, err = source.Keys(t.Context(), a.KeyID())
				checkUnavailable(t, err, "localhost")
				_, err = source.Document(t.Context())
				checkUnavailable(t, err, "localhost")

				server.answers(says(setOf(t, b)))
				time.Sleep(time.Minute)
				holds(t, source, b)
				time.Sleep(30 * time.Second)
				denies(t, source, a.KeyID())
			})
		})
	}
}

func TestOutageBeforeTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		server, source := newOrigin(t, fails(http.StatusServiceUnavailable), remote.Options{})
		// Tries at 0, 2, 6, 14, 30, 62, 122, 182 s and so on: a minute apart at most.
		for range 3000 {
			_, err := source.Keys(t.Context(), a.KeyID())
			checkUnavailable(t, err, "503")
			time.Sleep(time.Second)
		}
		asked(t, server, 54)
		server.answers(says(setOf(t, a)))
		time.Sleep(2 * time.Second)
		holds(t, source, a)

		// A good answer resets the wait between attempts.
		server.answers(fails(http.StatusServiceUnavailable))
		time.Sleep(5 * time.Minute)
		holds(t, source, a)
		server.answers(says(setOf(t, a)))
		time.Sleep(2 * time.Second)
		holds(t, source, a)
		asked(t, server, 57)
	})
}

func TestMustRevalidateIsNotUsedStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		server, source := newOrigin(t, says(setOf(t, a), "Cache-Control", "max-age=60, must-revalidate"), remote.Options{})
		holds(t, source, a)
		server.answers(fails(http.StatusServiceUnavailable))
		time.Sleep(time.Minute - time.Millisecond)
		holds(t, source, a)
		time.Sleep(time.Millisecond)
		_, err := source.Keys(t.Context(), a.KeyID())
		checkUnavailable(t, err, "503")
	})
}

func TestOneRequestAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newKey(t), newKey(t)
		body := setOf(t, a, b)
		server, source := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			says(body)(w, r)
		}, remote.Options{})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { holds(t, source, []jwk.PublicKey{a, b}[i%2]) })
		}
		wg.Wait()
		asked(t, server, 1)

		// Fifty tokens that name the same new key need one request too.
		c := newKey(t)
		body = setOf(t, c)
		for range 50 {
			wg.Go(func() { holds(t, source, c) })
		}
		wg.Wait()
		asked(t, server, 2)
	})
}

func TestOneRequestAtATimeInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, source := newOrigin(t, hangs, remote.Options{})
		begin := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				_, err := source.Keys(t.Context(), "any")
				checkUnavailable(t, err, "no complete response within 5s")
			})
		}
		wg.Wait()
		asked(t, server, 1)
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("the last caller waited %s", d)
		}
	})
}

func TestCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		body := setOf(t, a)
		server, source := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			says(body)(w, r)
		}, remote.Options{})

		var wg sync.WaitGroup
		impatient := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			_, err := source.Keys(ctx, a.KeyID())
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, remote.ErrUnavailable) {
				t.Errorf("the impatient caller got %v", err)
			}
			if d := time.Since(begin); d != time.Second {
				t.Errorf("the impatient caller waited %s", d)
			}
		}
		wg.Go(impatient) // starts the request
		synctest.Wait()
		wg.Go(impatient) // waits for it
		wg.Go(func() { holds(t, source, a) })
		wg.Wait()
		asked(t, server, 1)
	})
}

// Callers that give up do not cause more requests to the issuer.
func TestImpatientKidStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		server, source := newOrigin(t, says(setOf(t, a)), remote.Options{})
		holds(t, source, a)
		server.answers(hangs)
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := source.Keys(ctx, fmt.Sprintf("random-%d", i))
			cancel()
			if i == 0 && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		asked(t, server, 2)
	})
}

// TestUnusableKey asks for a key that the set has, but that cannot be used. A file and a
// URL give the same answer.
func TestUnusableKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		raw, err := a.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		broken := `{"kty":"EC","crv":"P-256","kid":"broken","x":"AAAA","y":"AAAA"}`
		for _, test := range []struct {
			members, kid string
			unusable     bool
		}{
			{broken, "broken", true},
			{broken, "", true},
			{broken, "other", false},
			{broken + "," + string(raw), "broken", true},
			{broken + "," + string(raw), "other", false},
		} {
			body := "\ufeff" + `{"keys":[` + test.members + `]}` // some servers send a byte order mark
			_, source := newOrigin(t, says(body), remote.Options{})
			set, problems, err := jwk.ParseSet([]byte(strings.TrimPrefix(body, "\ufeff")))
			if err != nil {
				t.Fatal(err)
			}
			for name, source := range map[string]token.KeySource{"URL": source, "file": remote.Static{Set: set, Problems: problems}} {
				got, err := source.Keys(t.Context(), test.kid)
				unusable, is := errors.AsType[*remote.UnusableError](err)
				if is != test.unusable || len(got) > 0 || (is && unusable.Problem.KeyID != "broken") || (!is && err != nil) {
					t.Errorf("%s, kid %q of %s: %v, %v", name, test.kid, test.members, got, err)
				}
			}
		}
	})
}

// TestKeysOutliveABrokenSet replaces a good set by one whose keys cannot be used.
func TestKeysOutliveABrokenSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey(t)
		server, source := newOrigin(t, says(setOf(t, a)), remote.Options{})
		holds(t, source, a)
		server.answers(says(`{"keys":[{"kty":"EC","crv":"P-256","kid":"broken","x":"AAAA","y":"AAAA"}]}`))
		time.Sleep(10 * time.Minute)
		holds(t, source, a)
	})
}

func TestStatic(t *testing.T) {
	a, b := newKey(t), newKey(t)
	source := remote.Static{Set: jwk.Set{Keys: []jwk.PublicKey{a, b}}}
	for kid, want := range map[string]int{a.KeyID(): 1, b.KeyID(): 1, "": 2, "other": 0} {
		got, err := source.Keys(t.Context(), kid)
		if err != nil || len(got) != want {
			t.Errorf("kid %q: %d keys, error %v, want %d", kid, len(got), err, want)
		}
	}
}
