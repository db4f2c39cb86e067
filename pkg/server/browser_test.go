package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// post sends POST /auth to a server on a loopback address.
func post(t *testing.T, url, host string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/auth", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() }) // only read
	return response
}

func TestAuthRefusesPagesOfOtherOrigins(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, func(o *Options) { o.RateLimit = 0.001 })
	s := httptest.NewServer(srv.Handler())
	defer s.Close()
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, // another port of localhost
		{"Origin", "https://page.example"},
		{"Origin", "null"},
		{"Origin", "http://localhost:3000"},
	} {
		wantProblem(t, post(t, s.URL, "", header...), http.StatusForbidden, "web pages of another origin")
	}
	// The requests of such pages do not use up the rate limit of this address.
	decodeGrant(t, post(t, s.URL, "", "Origin", s.URL, "Sec-Fetch-Site", "same-origin"))
	for _, path := range documents() {
		if r := srv.do("GET", path, "", "Origin", "https://page.example", "Sec-Fetch-Site", "cross-site"); r.StatusCode != http.StatusOK {
			t.Errorf("a page of another origin reads %s: status %d", path, r.StatusCode)
		}
	}
}

func TestAuthRefusesReboundHosts(t *testing.T) {
	srv := newTestServer(t, keys.Settings{Issuer: "https://Issuer.example:8443/base"})
	s := httptest.NewServer(srv.Handler())
	defer s.Close()
	for _, host := range []string{
		"", "localhost", "LOCALHOST:8080", "localhost.:80", "app.localhost:8080", "127.0.0.1", "127.1.2.3:1", "[::1]:8080",
		"[::ffff:127.0.0.1]", "0.0.0.0:8080", "[::]", "issuer.example", "ISSUER.example.:8080",
	} {
		if r := post(t, s.URL, host); r.StatusCode != http.StatusOK {
			t.Errorf("Host %q: status %d", host, r.StatusCode)
		}
	}
	for _, host := range []string{
		"page.example", "page.example:8080", "127.0.0.1.page.example", "localhost.page.example", "notlocalhost",
		"sub.issuer.example", "192.0.2.1", "[2001:db8::1]:80",
	} {
		// The browser takes the page and the server for one origin.
		r := post(t, s.URL, host, "Origin", "http://"+host, "Sec-Fetch-Site", "same-origin")
		wantProblem(t, r, http.StatusMisdirectedRequest, "send the request to localhost, a loopback address or the host of the issuer")
	}
	// Here the Host is example.com. On an address that is not loopback, a server cannot know its names.
	if r := srv.do("POST", "/auth", ""); r.StatusCode != http.StatusOK {
		t.Errorf("on another address: status %d", r.StatusCode)
	}
}

func TestPprofRefusesReboundHosts(t *testing.T) {
	s := httptest.NewServer(PprofHandler())
	defer s.Close()
	for host, want := range map[string]int{"": 200, "localhost:6060": 200, "page.example": 421} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/debug/pprof/cmdline", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // only the status matters
		if response.StatusCode != want {
			t.Errorf("Host %q: status %d, want %d", host, response.StatusCode, want)
		}
	}
}
