package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// askFrom asks the token endpoint for a token of a client, from an address.
func (srv *testServer) askFrom(address, id, password string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, tokenEndpoint, strings.NewReader("grant_type=client_credentials"))
	r.RemoteAddr = address
	r.TLS = &tls.ConnectionState{}
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Authorization", basic(id, password))
	w := httptest.NewRecorder()
	srv.Handler().ServeHTTP(w, r)
	return w.Result()
}

func wantStatus(t *testing.T, r *http.Response, status int) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", r.StatusCode, status, read(t, r))
	}
}

func TestFailuresSlowAnAddressDown(t *testing.T) {
	srv := newClientServer(t)
	const attacker, other = "198.51.100.7:1000", "198.51.100.8:1000"
	for range failureBurst {
		wantStatus(t, srv.askFrom(attacker, "billing", "wrong"), http.StatusUnauthorized)
		wantStatus(t, srv.askFrom(other, "billing", secret), http.StatusOK)
	}
	for range 3 { // refused requests do not prolong the wait
		r := srv.askFrom(attacker, "billing", secret)
		if r.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After = %q", r.Header.Get("Retry-After"))
		}
		wantTokenError(t, r, http.StatusTooManyRequests, "slow_down", "without valid credentials")
	}
	for range 2 * failureBurst {
		wantStatus(t, srv.askFrom(other, "billing", secret), http.StatusOK)
	}
	wantStatus(t, srv.do("GET", "/jwks", ""), http.StatusOK)
	srv.clock.Advance(time.Second)
	for range 3 { // requests with valid credentials need none of what has been refilled
		wantStatus(t, srv.askFrom(attacker, "billing", secret), http.StatusOK)
	}
	wantStatus(t, srv.askFrom(attacker, "billing", "wrong"), http.StatusUnauthorized)
	wantStatus(t, srv.askFrom(attacker, "billing", "wrong"), http.StatusTooManyRequests)
	srv.clock.Advance(failureBurst * time.Second)
	for range failureBurst {
		wantStatus(t, srv.askFrom(attacker, "billing", "wrong"), http.StatusUnauthorized)
	}
	wantStatus(t, srv.askFrom(attacker, "billing", "wrong"), http.StatusTooManyRequests)
}

// Requests that arrive together are not checked together: each is counted before the next
// is checked, whether they wait for their body or for their turn.
func TestFailuresCountWhileOthersWait(t *testing.T) {
	for name, form := range map[string]url.Values{
		"secret": {"grant_type": {clientCredentials}, "client_id": {"billing"}, "client_secret": {"wrong"}},
		"assertion": {"grant_type": {clientCredentials}, "client_assertion_type": {assertionType}, "client_assertion": {
			newClientServer(t).assertion(t, 15, time.Unix(0, 0), token.Request{Issuer: "nobody", Subject: "nobody", ID: "1"}),
		}},
		"no grant": {},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := newClientServer(t)
			srv.checkQueue.running = semaphore.NewWeighted(1)
			const all = maxChecksOfOne
			answered, bodies := make(chan int, all), make([]*io.PipeWriter, all)
			for i := range bodies {
				body, w := io.Pipe()
				bodies[i] = w
				go func() {
					r := httptest.NewRequest(http.MethodPost, tokenEndpoint, body)
					r.RemoteAddr, r.TLS = "198.51.100.7:1000", &tls.ConnectionState{}
					r.Header.Set("Content-Type", formType)
					answer := httptest.NewRecorder()
					srv.Handler().ServeHTTP(answer, r)
					answered <- answer.Code
				}()
			}
			synctest.Wait()
			srv.checkQueue.running.TryAcquire(1)
			for _, w := range bodies {
				_, _ = io.WriteString(w, form.Encode())
				_ = w.Close()
				if name != "assertion" {
					synctest.Wait()
				}
			}
			synctest.Wait()
			srv.checkQueue.running.Release(1)
			slow := 0
			for range all {
				if <-answered == http.StatusTooManyRequests {
					slow++
				}
			}
			if refused := all - slow; refused < failureBurst || refused > 2*failureBurst { // those that are being checked are not counted yet
				t.Errorf("%s: %d requests were checked, want %d", name, refused, failureBurst)
			}
		})
	}
}

// What is refused before the client is known counts too, because the audit log has it.
func TestEveryKindOfFailureCounts(t *testing.T) {
	for name, ask := range map[string]func(*testServer) *http.Response{
		"a bad body": func(srv *testServer) *http.Response {
			return srv.do("POST", tokenEndpoint, "x", "Content-Type", "text/plain")
		},
		"no grant": func(srv *testServer) *http.Response { return srv.do("POST", tokenEndpoint, "") },
		"a query":  func(srv *testServer) *http.Response { return srv.do("POST", tokenEndpoint+"?a=b", "") },
		"another origin": func(srv *testServer) *http.Response {
			return srv.do("POST", tokenEndpoint, "", "Origin", "https://page.example")
		},
		"no credentials": func(srv *testServer) *http.Response { return srv.do("POST", authRoute, "") },
		"a bad assertion": func(srv *testServer) *http.Response {
			return srv.ask([]string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", "a.b.c"})
		},
	} {
		srv := newClientServer(t)
		for i := range failureBurst + 1 {
			status, slow := ask(srv).StatusCode, i == failureBurst
			if slow != (status == http.StatusTooManyRequests) || status < 400 || status >= 500 {
				t.Errorf("%s: request %d is answered %d", name, i+1, status)
			}
		}
	}
}

// A web page in a browser does not slow down the clients there.
func TestWebPagesDoNotSlowClientsDown(t *testing.T) {
	srv := newClientServer(t)
	for range failureBurst {
		wantStatus(t, srv.do("POST", tokenEndpoint, "", "Origin", "https://page.example"), http.StatusForbidden)
	}
	wantStatus(t, srv.do("POST", tokenEndpoint, "", "Origin", "https://page.example"), http.StatusTooManyRequests)
	wantStatus(t, srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret}), http.StatusOK)
}

// An authenticated client that asks for too much does not slow down others at its address.
func TestRefusedGrantsAreNoFailures(t *testing.T) {
	srv := newClientServer(t)
	for range 2 * failureBurst {
		wantStatus(t, srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret, "scope", "root"}), http.StatusBadRequest)
	}
	wantStatus(t, srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret}), http.StatusOK)
}

func TestLimitKey(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1",
		"::ffff:192.0.2.1":     "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::9":      "2001:db8:1:2::/64",
		"2001:db8:1:3::9":      "2001:db8:1:3::/64",
		"fe80::1%eth0":         "fe80::/64",
		"unix":                 "unix",
		"":                     "",
	} {
		if got := limitKey(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestLimitsCountNetworksOfIPv6(t *testing.T) {
	srv := newClientServer(t)
	for i := range failureBurst {
		wantStatus(t, srv.askFrom(fmt.Sprintf("[2001:db8:1:2::%x]:1000", i+1), "billing", "wrong"), http.StatusUnauthorized)
	}
	wantStatus(t, srv.askFrom("[2001:db8:1:2:ffff::]:1000", "billing", secret), http.StatusTooManyRequests)
	wantStatus(t, srv.askFrom("[2001:db8:1:3::1]:1000", "billing", secret), http.StatusOK)

	srv = newClientServer(t, func(o *Options) { o.RateLimit = 1 })
	wantStatus(t, srv.askFrom("[2001:db8:1:2::1]:1000", "billing", secret), http.StatusOK)
	wantStatus(t, srv.askFrom("[2001:db8:1:2::2]:1000", "billing", secret), http.StatusTooManyRequests)
	wantStatus(t, srv.askFrom("[2001:db8:1:3::1]:1000", "billing", secret), http.StatusOK)
}

func TestRateLimitOfTokenEndpoint(t *testing.T) {
	srv := newClientServer(t, func(o *Options) { o.RateLimit = 2 })
	for range 2 { // both routes share the limit
		wantStatus(t, srv.askFrom("192.0.2.1:1", "billing", secret), http.StatusOK)
	}
	r := srv.askFrom("192.0.2.1:2", "billing", secret)
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After = %q", r.Header.Get("Retry-After"))
	}
	wantTokenError(t, r, http.StatusTooManyRequests, "slow_down", "too many requests")
	wantStatus(t, srv.askAuth("billing", "", "", ""), http.StatusTooManyRequests)
	wantStatus(t, srv.askFrom("192.0.2.2:1", "billing", secret), http.StatusOK)
}

func TestRateLimitOfClient(t *testing.T) {
	srv := newClientServer(t)
	wantStatus(t, srv.askFrom("192.0.2.1:1", "slow", "wrong"), http.StatusUnauthorized) // does not count
	wantStatus(t, srv.askFrom("192.0.2.1:1", "slow", secret), http.StatusOK)
	r := srv.askFrom("192.0.2.2:1", "slow", secret) // from any address
	if r.Header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After = %q", r.Header.Get("Retry-After"))
	}
	wantTokenError(t, r, http.StatusTooManyRequests, "slow_down", "this client asks for too many tokens; try again later; sign a new assertion for that if you sent one")
	wantStatus(t, srv.askAuth("slow", "", "", ""), http.StatusTooManyRequests)
	for range 3 {
		wantStatus(t, srv.askFrom("192.0.2.1:1", "billing", secret), http.StatusOK)
	}
	srv.clock.Advance(2 * time.Second)
	wantStatus(t, srv.askFrom("192.0.2.1:1", "slow", secret), http.StatusOK)
}

// An assertion is used once, so a request that has to be sent again needs a new one. Only a
// client that may have sent one is told.
func TestTryAgainWithANewAssertion(t *testing.T) {
	entries := clientList(t)
	for name, tt := range map[string]struct {
		entries []any
		want    bool
	}{"with keys": {entries, true}, "with secrets only": {entries[:4], false}} {
		srv := newTestServer(t, keys.Settings{}, withClients(t, tt.entries...))
		for _, r := range []*http.Response{srv.askAuth("slow", "", "", ""), srv.askAuth("slow", "", "", ""), srv.askFrom("192.0.2.1:1", "slow", secret)} {
			if told := strings.Contains(read(t, r), "sign a new assertion"); told != (tt.want && r.StatusCode == http.StatusTooManyRequests) {
				t.Errorf("%s: status %d, told: %v", name, r.StatusCode, told)
			}
		}
	}
}

func TestRateLimitOfClientFollowsTheList(t *testing.T) {
	l, at := newClientLimiter(), time.Unix(1_000_000, 0)
	ask := func(rate float64) bool { return l.take(&client.Client{ID: "a", RateLimit: rate}, at) == 0 }
	if !ask(1) || ask(1) {
		t.Error("a rate of 1 does not allow one request")
	}
	if !ask(0) {
		t.Error("a client without a limit has to wait")
	}
	if first, second, third := ask(2), ask(2), ask(2); !first || !second || third {
		t.Error("a new rate of 2 does not allow two requests")
	}
}

func TestClientLimiterMemoryIsBounded(t *testing.T) {
	l, at := newClientLimiter(), time.Unix(1_000_000, 0)
	for i := range 1000 {
		l.take(&client.Client{ID: strconv.Itoa(i), RateLimit: 1}, at)
		at = at.Add(time.Second)
	}
	if len(l.buckets) > 2 {
		t.Errorf("the limiter keeps %d buckets of clients that have not asked for a while", len(l.buckets))
	}
}

func TestFailureLimiterMemoryIsBounded(t *testing.T) {
	srv := newClientServer(t)
	at := srv.clock.Now()
	for i := range 2 * maxAddresses {
		srv.failures.take(strconv.Itoa(i), at)
		srv.failures.wait("other"+strconv.Itoa(i), at)
	}
	if n := len(srv.failures.recent) + len(srv.failures.older); n > maxAddresses {
		t.Errorf("the limiter keeps %d addresses", n)
	}
}

// A flood of wrong credentials must not delay those with valid ones.
func TestWrongCredentialsNeverWaitForASignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newClientServer(t)
		srv.queue = newSignQueue(1, func(time.Duration) {})
		finish := occupy(srv.queue)
		for range queueLength {
			go func() { _ = srv.queue.do(t.Context(), sign) }()
		}
		synctest.Wait()
		wantStatus(t, srv.askFrom("192.0.2.1:1", "billing", "wrong"), http.StatusUnauthorized)
		r := srv.askFrom("192.0.2.1:1", "billing", secret)
		if r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		wantTokenError(t, r, http.StatusServiceUnavailable, "temporarily_unavailable", "wait for a signature")
		finish()
	})
}

// assertionForm is a form with a valid assertion.
func (srv *testServer) assertionForm(t *testing.T, id string) []string {
	t.Helper()
	return []string{
		"grant_type", "client_credentials", "client_assertion_type", assertionType,
		"client_assertion", srv.assertion(t, 14, srv.clock.Now(), token.Request{Issuer: "signer", Subject: "signer", ID: id}),
	}
}

// occupyChecks begins as many checks of an address as it may have. It returns the function
// that ends them.
func (srv *testServer) occupyChecks(address string) (finish func()) {
	var ends []func()
	for end := srv.checks.begin(address); end != nil; end = srv.checks.begin(address) {
		ends = append(ends, end)
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

func wantChecksFull(t *testing.T, r *http.Response) {
	t.Helper()
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wantTokenError(t, r, http.StatusServiceUnavailable, "temporarily_unavailable", "client assertions")
}

// withRemoteClient has a client whose keys are at an address that refuses connections.
func withRemoteClient(t *testing.T) (srv *testServer, ask func() *http.Response) {
	t.Helper()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	remote := map[string]any{"id": "remote", "audiences": []any{"https://api.example"}, "jwks_uri": dead.URL}
	srv = newTestServer(t, keys.Settings{}, withClients(t, append(clientList(t), remote)...))
	signed := srv.assertion(t, 14, srv.clock.Now(), token.Request{Issuer: "remote", Subject: "remote", ID: "1"})
	return srv, func() *http.Response {
		return srv.ask([]string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", signed})
	}
}

func TestChecksOfAssertionsAreBounded(t *testing.T) {
	srv, ask := withRemoteClient(t)
	var finish []func()
	for i := range 2 * maxChecks / maxChecksOfOne {
		finish = append(finish, srv.occupyChecks(fmt.Sprintf("198.51.100.%d", i)))
	}
	if srv.checks.all != maxChecks {
		t.Errorf("%d checks run, want %d", srv.checks.all, maxChecks)
	}
	wantChecksFull(t, ask())
	if strings.Contains(srv.logged.String(), "cannot be fetched") {
		t.Error("the log says that keys cannot be fetched, which was not tried")
	}
	for _, f := range finish {
		f()
	}
	wantTokenError(t, ask(), http.StatusServiceUnavailable, "temporarily_unavailable", "cannot be fetched")
	if srv.checks.all != 0 || len(srv.checks.of) != 0 {
		t.Errorf("%d checks of %d addresses have not ended", srv.checks.all, len(srv.checks.of))
	}
}

// An address whose assertions wait for keys that do not come keeps out nobody else, and no
// client at the same address whose keys are in the list.
func TestOneAddressCannotTakeAllChecks(t *testing.T) {
	srv, ask := withRemoteClient(t)
	finish := srv.occupyChecks("198.51.100.7")
	wantTokenError(t, ask(), http.StatusServiceUnavailable, "temporarily_unavailable", "cannot be fetched")
	finish()
	finish = srv.occupyChecks("192.0.2.1") // of the test's requests
	wantChecksFull(t, ask())
	wantStatus(t, srv.ask(srv.assertionForm(t, "1")), http.StatusOK)
	wantStatus(t, srv.askFrom("192.0.2.1:1", "billing", secret), http.StatusOK)
	finish()
}

// As many assertions are verified at the same time as Go uses processors. Others wait, and
// delay no other kind of request.
func TestAssertionsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newClientServer(t)
		if !srv.checkQueue.running.TryAcquire(int64(runtime.GOMAXPROCS(0))) || srv.checkQueue.running.TryAcquire(1) {
			t.Error("not as many turns as processors")
		}
		good := srv.assertionForm(t, "1")
		answered := make(chan int, 1)
		go func() { answered <- srv.ask(good).StatusCode }()
		synctest.Wait()
		if len(answered) > 0 {
			t.Errorf("answered %d although it was not its turn", <-answered)
		}
		wantStatus(t, srv.askFrom("192.0.2.1:1", "billing", secret), http.StatusOK)
		wantStatus(t, srv.do("GET", "/jwks", ""), http.StatusOK)
		srv.checkQueue.running.Release(int64(runtime.GOMAXPROCS(0)))
		if status := <-answered; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		srv.checkQueue.running.TryAcquire(int64(runtime.GOMAXPROCS(0)))
		start := time.Now()
		wantStatus(t, srv.ask(srv.assertionForm(t, "2")), http.StatusServiceUnavailable)
		if took := time.Since(start); took != signTimeout {
			t.Errorf("it waited %s for its turn, want %s", took, signTimeout)
		}
	})
}

func TestKeysOfClientsUnavailable(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	srv := newTestServer(t, keys.Settings{}, withClients(t, map[string]any{
		"id": "remote", "audiences": []any{"https://api.example"}, "jwks_uri": dead.URL,
	}))
	for i := range failureBurst + 3 {
		signed := srv.assertion(t, 14, srv.clock.Now(), token.Request{Issuer: "remote", Subject: "remote", ID: strconv.Itoa(i)})
		r := srv.ask([]string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", signed})
		if r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		wantTokenError(t, r, http.StatusServiceUnavailable, "temporarily_unavailable", "cannot be fetched") // is no failure of the address
	}
	if n := strings.Count(srv.logged.String(), `"level":"WARN"`); n != 1 {
		t.Errorf("%d warnings, want 1: %s", n, srv.logged)
	}
}
