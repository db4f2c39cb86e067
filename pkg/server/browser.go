package server

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// checkBrowser refuses a request that a web page of another origin may have sent. A page
// reaches a server on the same machine in two ways: it posts to the server's address, or
// its own host name resolves to a loopback address (DNS rebinding), so that the browser
// takes the server for a part of the page's origin.
//
// The same holds for a proxy on the same machine that passes Host through. One that sends
// the Host of the browser in X-Forwarded-Host is not believed: it would have to be known
// that it removes what the page wrote there.
func (s *Server) checkBrowser(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return &problem{status: http.StatusForbidden, detail: "web pages of another origin get no tokens (" + err.Error() + ")"}
	}
	if host := hostname(r.Host); isLocal(r) && !isLoopback(host) && !strings.EqualFold(host, s.issuer().Hostname()) {
		return misdirected("localhost, a loopback address or the host of the issuer")
	}
	return nil
}

// misdirected is the answer to a request with a foreign Host.
func misdirected(hosts string) *problem {
	return &problem{
		status: http.StatusMisdirectedRequest,
		detail: "the Host header names another host: send the request to " + hosts + ", or have the proxy send that as Host",
	}
}

// isLocal reports whether only this machine reaches the address or the Unix socket to which
// a connection was made.
func isLocal(r *http.Request) bool {
	if isUnix(r) {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// hostname returns the Host header without the port, the brackets of an IPv6 address, and
// the final dot of a complete name.
func hostname(host string) string {
	return strings.TrimSuffix((&url.URL{Host: host}).Hostname(), ".")
}

// isLoopback reports whether a host is the client's own machine, so that no name server
// can lead a browser elsewhere with it. The unspecified address is this machine too. A
// browser always sends a host.
func isLoopback(host string) bool {
	name, ip := strings.ToLower(host), net.ParseIP(host)
	return ip.IsLoopback() || ip.IsUnspecified() ||
		name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") // RFC 6761, section 6.3
}
