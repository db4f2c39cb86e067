package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// behindProxies is a server whose proxies are 10.0.0.0/8 and the documentation network of
// IPv6.
func behindProxies(o *Options) {
	o.BehindProxy = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
}

// from is a request for a token from a peer. header is a list of name, value, name, value.
func from(peer string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/auth", http.NoBody)
	r.RemoteAddr = peer
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// onUnixSocket makes r a request that came over a Unix socket.
func onUnixSocket(r *http.Request) *http.Request {
	r.RemoteAddr = "@"
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/s", Net: "unix"}))
}

const (
	xff, xfp, fwd = "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"
	proxy         = "10.0.0.1:40000"
)

func TestClientAddress(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, behindProxies)
	for _, tt := range []struct {
		name, peer string
		header     []string
		want       string
	}{
		{"no header", proxy, nil, "10.0.0.1"},
		{"no proxy", "203.0.113.9:1", []string{xff, "198.51.100.7", fwd, "for=198.51.100.8"}, "203.0.113.9"},
		{"peer with zone", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"mapped peer is a proxy", "[::ffff:10.0.0.1]:1", []string{xff, "198.51.100.7"}, "198.51.100.7"},
		{"peer of IPv6", "[2001:db8:1::9]:1", []string{xff, "198.51.100.7"}, "198.51.100.7"},

		{"one", proxy, []string{xff, "198.51.100.7"}, "198.51.100.7"},
		{"the client wrote one", proxy, []string{xff, "1.2.3.4, 198.51.100.7"}, "198.51.100.7"},
		{"the client wrote a proxy", proxy, []string{xff, "10.0.0.9, 198.51.100.7"}, "198.51.100.7"},
		{"the client wrote nonsense", proxy, []string{xff, "<script>, 198.51.100.7"}, "198.51.100.7"},
		{"two proxies", proxy, []string{xff, "1.2.3.4, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"proxy of IPv6", proxy, []string{xff, "198.51.100.7, 2001:db8:1::9"}, "198.51.100.7"},
		{"only proxies", proxy, []string{xff, "10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"lines", proxy, []string{xff, "1.2.3.4", xff, "198.51.100.7", xff, "10.0.0.2"}, "198.51.100.7"},
		{"empty elements", proxy, []string{xff, " , ,198.51.100.7,, "}, "198.51.100.7"},
		{"empty", proxy, []string{xff, ""}, "10.0.0.1"},
		{"port", proxy, []string{xff, "198.51.100.7:1234"}, "198.51.100.7"},
		{"IPv6", proxy, []string{xff, "2001:DB8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", proxy, []string{xff, "[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with port", proxy, []string{xff, "[2001:db8::7]:1234"}, "2001:db8::7"},
		{"zone", proxy, []string{xff, "fe80::7%eth0"}, "fe80::7"},
		{"mapped", proxy, []string{xff, "::ffff:198.51.100.7"}, "198.51.100.7"},
		{"mapped proxy", proxy, []string{xff, "198.51.100.7, [::ffff:10.0.0.2]:1"}, "198.51.100.7"},
		{"unknown", proxy, []string{xff, "1.2.3.4, unknown"}, "10.0.0.1"},
		{"unknown behind a second proxy", proxy, []string{xff, "1.2.3.4, unknown, 10.0.0.2"}, "10.0.0.2"},

		{"Forwarded", proxy, []string{fwd, "for=198.51.100.7"}, "198.51.100.7"},
		{"all of Forwarded", proxy, []string{fwd, `By=10.0.0.1; FOR="198.51.100.7:80" ;proto=https;host=a.example`}, "198.51.100.7"},
		{"Forwarded with lines", proxy, []string{fwd, "for=1.2.3.4", fwd, "for=198.51.100.7,for=10.0.0.2"}, "198.51.100.7"},
		{"Forwarded with IPv6", proxy, []string{fwd, `for="[2001:db8::7]"`}, "2001:db8::7"},
		{"Forwarded with IPv6 and port", proxy, []string{fwd, `for="[2001:db8::7]:_p"`}, "2001:db8::7"},
		{"Forwarded with an escape", proxy, []string{fwd, `for="198.51.100\.7"`}, "198.51.100.7"},
		{"Forwarded with a comma in quotes", proxy, []string{fwd, `for=1.2.3.4;x=",for=5.6.7.8,", for=198.51.100.7`}, "198.51.100.7"},
		{"Forwarded with empty elements", proxy, []string{fwd, ", ;,for=198.51.100.7;,"}, "198.51.100.7"},
		{"Forwarded is empty", proxy, []string{fwd, ""}, "10.0.0.1"},
		{"unknown in Forwarded", proxy, []string{fwd, "for=1.2.3.4, for=Unknown"}, "10.0.0.1"},
		{"hidden in Forwarded", proxy, []string{fwd, `for=1.2.3.4, for=_hidden, for="10.0.0.2:_x"`}, "10.0.0.2"},
		{"hidden with port", proxy, []string{fwd, `for="_hidden:80"`}, "10.0.0.1"},
		{"no for", proxy, []string{fwd, "for=1.2.3.4, proto=https"}, "10.0.0.1"},
		{"both agree", proxy, []string{fwd, `for="198.51.100.7:80"`, xff, "1.2.3.4, 198.51.100.7:81"}, "198.51.100.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := from(tt.peer, tt.header...)
			if err := srv.checkForwarded(r); err != nil {
				t.Errorf("refused: %v", err)
			}
			if got := srv.clientAddress(r); got != tt.want {
				t.Errorf("the client is %s, want %s", got, tt.want)
			}
		})
	}
}

// A request for a token is refused if its headers say nothing that can be believed; a
// document is served.
func TestForwardedRefused(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, behindProxies)
	for _, tt := range []struct {
		name   string
		header []string
		want   string
	}{
		{"other client", []string{fwd, "for=1.2.3.4", xff, "198.51.100.7"}, "name different clients; the proxy must set one of them and remove the other"},
		{"one hides the client", []string{fwd, "for=_hidden", xff, "198.51.100.7"}, "different clients"},
		{"one has no client", []string{fwd, "proto=https", xff, "198.51.100.7"}, "different clients"},
		{"one is unknown", []string{fwd, "for=198.51.100.7", xff, "unknown"}, "different clients"},
		{"other scheme", []string{fwd, "for=198.51.100.7;proto=https", xff, "198.51.100.7", xfp, "http"}, "different schemes"},
		{"other scheme alone", []string{fwd, "proto=http", xfp, "https"}, "different schemes"},

		{"no address", []string{xff, "198.51.100.7, nonsense"}, `X-Forwarded-For: "nonsense" is not an address`},
		{"a name", []string{xff, "client.example.com"}, "is not an address"},
		{"a number", []string{xff, "1234"}, "is not an address"},
		{"leading zeros", []string{xff, "198.051.100.007"}, "is not an address"},
		{"no port", []string{xff, "198.51.100.7:"}, "no port"},
		{"large port", []string{xff, "198.51.100.7:65536"}, "no port"},
		{"port alone", []string{xff, ":80"}, "is not an address"},
		{"open bracket", []string{xff, "[2001:db8::7"}, "is not an address"},
		{"open bracket with port", []string{xff, "[2001:db8::7:80"}, "is not an address"},
		{"text behind the bracket", []string{xff, "[2001:db8::7]x"}, "is not an address"},
		{"IPv4 in brackets", []string{xff, "[198.51.100.7]"}, "is not an address"},
		{"hidden by nothing", []string{xff, "_"}, "is not an address"},
		{"hidden by other signs", []string{xff, "_a/b"}, "is not an address"},
		{"other proto", []string{xff, "198.51.100.7", xfp, "gopher"}, "X-Forwarded-Proto"},
		{"other proto in Forwarded", []string{fwd, "for=198.51.100.7;proto=gopher"}, "not http or https"},

		// A client that opens a quoted string does not swallow what the proxy appends.
		{"open quote", []string{fwd, `for="1.2.3.4`, fwd, "for=198.51.100.7"}, "no end"},
		{"quote closed by the proxy's", []string{fwd, `for=1.2.3.4;x="`, fwd, `for="[2001:db8::7]"`}, "unexpected text"},
		{"escape at the end", []string{fwd, `for="1.2.3.4\`, fwd, `for=198.51.100.7`}, "no end"},
		{"nothing but a quote", []string{fwd, `"`}, "unexpected text"},
		{"no value", []string{fwd, "for"}, "has no value"},
		{"empty value", []string{fwd, "for=;proto=https"}, "has no value"},
		{"no name", []string{fwd, "=198.51.100.7"}, "unexpected text"},
		{"two pairs without a semicolon", []string{fwd, "for=198.51.100.7 proto=https"}, "unexpected text"},
		{"space before the value", []string{fwd, "for= 198.51.100.7"}, "has no value"},
		{"twice in one element", []string{fwd, "for=1.2.3.4;For=198.51.100.7"}, "twice"},
		{"no ASCII", []string{fwd, "für=198.51.100.7"}, "has no value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			srv.Handler().ServeHTTP(w, from(proxy, tt.header...))
			wantProblem(t, w.Result(), http.StatusBadRequest, tt.want)
			lines := srv.lines(t)
			if got := lines[len(lines)-1]["client"]; got != "10.0.0.1" {
				t.Errorf("logged client %v", got)
			}
			r := from(proxy, tt.header...)
			r.Method, r.URL.Path = http.MethodGet, "/jwks"
			w = httptest.NewRecorder()
			srv.Handler().ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Errorf("the JWK Set: status %d", w.Code)
			}
			// the same from a peer that is no proxy
			w = httptest.NewRecorder()
			srv.Handler().ServeHTTP(w, from("203.0.113.9:1", tt.header...))
			if w.Code != http.StatusOK {
				t.Errorf("a token for a peer that is no proxy: status %d", w.Code)
			}
		})
	}
}

// In a header of the greatest size, the client is found in front of thousands of proxies.
func TestLargestForwardedHeader(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, behindProxies)
	for name, value := range map[string]string{
		xff: "1.2.3.4, 198.51.100.7" + strings.Repeat(",10.0.0.2", maxHeaderBytes/9),
		fwd: "for=1.2.3.4, for=198.51.100.7" + strings.Repeat(",for=10.0.0.2", maxHeaderBytes/13),
	} {
		if got := srv.clientAddress(from(proxy, name, value)); got != "198.51.100.7" {
			t.Errorf("%s: the client is %s", name, got)
		}
	}
}

// The rate limit counts the address that the proxy reports, and no other.
func TestRateLimitBehindAProxy(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, behindProxies, func(o *Options) { o.RateLimit = 1 })
	for _, tt := range []struct {
		peer   string
		header []string
		want   int
	}{
		{proxy, []string{xff, "198.51.100.7"}, 200},
		{proxy, []string{xff, "198.51.100.8"}, 200},
		{proxy, []string{xff, "1.2.3.4, 198.51.100.7"}, 429},
		{"10.0.0.2:1", []string{fwd, `for="198.51.100.7:9"`}, 429}, // by way of another proxy
		{"203.0.113.9:1", nil, 200},
		{"203.0.113.9:2", []string{xff, "198.51.100.9"}, 429},
	} {
		w := httptest.NewRecorder()
		srv.Handler().ServeHTTP(w, from(tt.peer, tt.header...))
		if w.Code != tt.want {
			t.Errorf("from %s with %q: status %d, want %d", tt.peer, tt.header, w.Code, tt.want)
		}
	}
}

func TestProxyOnAUnixSocket(t *testing.T) {
	believes := newTestServer(t, keys.Settings{}, behindProxies)
	alone := newTestServer(t, keys.Settings{})
	r := onUnixSocket(from("", xff, "198.51.100.7"))
	if got := believes.clientAddress(r); got != "198.51.100.7" {
		t.Errorf("the client is %s", got)
	}
	if got := believes.clientAddress(onUnixSocket(from(""))); got != "unix" {
		t.Errorf("without a header the client is %s", got)
	}
	if got := alone.clientAddress(r); got != "unix" {
		t.Errorf("without behind_proxy the client is %s", got)
	}
	if err := alone.checkTransport(r); err != nil {
		t.Errorf("credentials are refused: %v", err)
	}
}

func TestPlainHTTPIsNoTransportForCredentials(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, behindProxies)
	withTLS := func(r *http.Request) *http.Request {
		r.TLS = &tls.ConnectionState{}
		return r
	}
	for _, tt := range []struct {
		name  string
		r     *http.Request
		plain bool
	}{
		{"another machine", from("203.0.113.9:1"), true},
		{"another machine that lies", from("203.0.113.9:1", xfp, "https", fwd, "proto=https"), true},
		{"another machine with TLS", withTLS(from("203.0.113.9:1")), false},
		{"this machine", from("127.0.0.1:1"), false},
		{"this machine by IPv6", from("[::1]:1"), false},
		{"a Unix socket", onUnixSocket(from("")), false},

		{"a proxy says nothing", from(proxy), false},
		{"a proxy says https", from(proxy, xfp, "HTTPS"), false},
		{"a proxy says http", from(proxy, xfp, "http"), true},
		{"a proxy says http over TLS", withTLS(from(proxy, xfp, "http")), true},
		{"one of two proxies says http", from(proxy, xfp, "http, https"), true},
		{"the last of two proxies says http", from(proxy, xfp, "https", xfp, "Http"), true},
		{"Forwarded says http", from(proxy, fwd, "for=198.51.100.7;proto=http"), true},
		{"Forwarded says http, and does not name the client", from(proxy, fwd, "for=_x;proto=http"), true},
		{"http between two proxies", from(proxy, fwd, "for=198.51.100.7;proto=https, for=10.0.0.2;proto=http"), false},
		{"http by the client, https between two proxies", from(proxy, fwd, "for=198.51.100.7;proto=http, for=10.0.0.2;proto=https"), true},
		{"the client lies to the proxy", from(proxy, fwd, "for=1.2.3.4;proto=https, for=198.51.100.7;proto=http"), true},
		{"a Unix socket with a proxy", onUnixSocket(from("", xfp, "http")), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := srv.checkTransport(tt.r)
			if (err != nil) != tt.plain {
				t.Errorf("refused: %v, want %v", err, tt.plain)
			}
			if p, _ := problemOf(err); err != nil && (p.status != http.StatusForbidden || !strings.Contains(p.detail, "use https")) {
				t.Errorf("answers %d %s", p.status, p.detail)
			}
		})
	}
}

// X-Forwarded-Host is never believed.
func TestForwardedHostIsIgnored(t *testing.T) {
	srv := newTestServer(t, keys.Settings{Issuer: "https://tokens.example.com"}, func(o *Options) {
		o.BehindProxy = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	s := httptest.NewServer(srv.Handler())
	defer s.Close()
	rebound := post(t, s.URL, "page.example", "X-Forwarded-Host", "tokens.example.com", fwd, "host=tokens.example.com")
	wantProblem(t, rebound, http.StatusMisdirectedRequest, "have the proxy send that as Host")
	passed := post(t, s.URL, "tokens.example.com", "X-Forwarded-Host", "page.example", "Origin", "https://tokens.example.com")
	if passed.StatusCode != http.StatusOK {
		t.Errorf("a page of the issuer: status %d", passed.StatusCode)
	}
	other := post(t, s.URL, "tokens.example.com", "X-Forwarded-Host", "page.example", "Origin", "https://page.example")
	wantProblem(t, other, http.StatusForbidden, "web pages of another origin")

	// A Unix socket is on this machine too.
	r := onUnixSocket(from(""))
	r.Host = "page.example"
	w := httptest.NewRecorder()
	srv.Handler().ServeHTTP(w, r)
	wantProblem(t, w.Result(), http.StatusMisdirectedRequest, "the Host header names another host")
}

// FuzzForwarded checks that no header makes the server panic, and that what a client
// writes never decides the address if the proxy appends its own element.
func FuzzForwarded(f *testing.F) {
	f.Add(`for=1.2.3.4;proto=https`, "1.2.3.4, ::1", "http")
	f.Add(`for="[::1]:_x", ;for=_y;by="\"`, "unknown,[::1]:80", "https,")
	f.Add(`for="1.2.3.4`, "_x:_y, ,", "")
	srv := newTestServer(f, keys.Settings{}, behindProxies)
	f.Fuzz(func(t *testing.T, standard, usual, scheme string) {
		for _, r := range []*http.Request{
			from(proxy, fwd, standard, xff, usual, xfp, scheme),
			from(proxy, fwd, standard+`, for="198.51.100.7:1";proto=https`),
			from(proxy, xff, usual+", 198.51.100.7"),
		} {
			got := srv.sender(r)
			if got.address == "" {
				t.Error("no address")
			}
			if len(r.Header) == 1 && got.err == nil && got.address != "198.51.100.7" {
				t.Errorf("%v: the client is %s", r.Header, got.address)
			}
		}
	})
}
