package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// sender is where a request comes from, as far as it is known.
type sender struct {
	address string // of the client; of the nearest proxy if that does not say which client it is
	plain   bool   // the request crossed a network as plain http
	err     error  // the headers cannot be read, or contradict each other; address is that of the peer
}

// sender finds out where a request comes from. The headers Forwarded (RFC 7239),
// X-Forwarded-For and X-Forwarded-Proto count only if the peer is a proxy, because any
// client can write them.
func (s *Server) sender(r *http.Request) sender {
	peer := peerAddress(r)
	if !s.isProxy(peer) && (!isUnix(r) || len(s.o.BehindProxy) == 0) {
		return sender{address: peerText(r, peer), plain: r.TLS == nil && peer.IsValid() && !peer.IsLoopback()}
	}
	said, err := s.readForwarded(r.Header)
	if err != nil {
		return sender{address: peerText(r, peer), err: badRequest("the headers of the proxy do not say where this request comes from: %v", err)}
	}
	if said.client.IsValid() {
		peer = said.client
	}
	return sender{address: peerText(r, peer), plain: said.scheme == "http"}
}

// clientAddress returns the address of the client, which logs show and limits count.
func (s *Server) clientAddress(r *http.Request) string { return s.sender(r).address }

// checkForwarded refuses a request for a token if its proxy contradicts itself. Limits and
// logs would otherwise count an address that the client may have chosen.
func (s *Server) checkForwarded(r *http.Request) error { return s.sender(r).err }

// checkTransport refuses a request with credentials that others on the network could read.
func (s *Server) checkTransport(r *http.Request) error {
	if s.sender(r).plain {
		return &problem{
			status: http.StatusForbidden,
			detail: "the request was sent over plain http, where others can read its credentials: use https, and replace the credentials",
		}
	}
	return nil
}

// isProxy reports whether an address is in a network of BehindProxy.
func (s *Server) isProxy(address netip.Addr) bool {
	return slices.ContainsFunc(s.o.BehindProxy, func(p netip.Prefix) bool { return p.Contains(address) })
}

// peerAddress returns the address of the other end of the connection, which is not valid
// on a Unix socket.
func peerAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

func peerText(r *http.Request, address netip.Addr) string {
	switch {
	case address.IsValid():
		return address.String()
	case isUnix(r):
		return "unix"
	}
	return r.RemoteAddr
}

// isUnix reports whether a connection was made to a Unix socket.
func isUnix(r *http.Request) bool {
	_, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr)
	return ok
}

// hop is the sender of a request as a proxy saw it.
type hop struct {
	node   string // an address, with a port or not, or a name; "" if the proxy did not say
	scheme string // http or https; "" if the proxy did not say
}

// forwarded is what the proxies say about the client.
type forwarded struct {
	client netip.Addr // not valid if they do not say
	scheme string     // http or https; "" if they do not say
}

// readForwarded reads the headers of both kinds. A proxy sets one kind and may pass the
// other one through as the client wrote it, so that they must agree.
func (s *Server) readForwarded(h http.Header) (forwarded, error) {
	hops, err := parseForwarded(h["Forwarded"])
	if err != nil {
		return forwarded{}, fmt.Errorf("header Forwarded: %v", err)
	}
	standard, err := s.clientOf(hops)
	if err != nil {
		return forwarded{}, fmt.Errorf("header Forwarded: %v", err)
	}
	usualHops := parseForwardedFor(h["X-Forwarded-For"])
	usual, err := s.clientOf(usualHops)
	if err != nil {
		return forwarded{}, fmt.Errorf("header X-Forwarded-For: %v", err)
	}
	if usual.scheme, err = parseForwardedProto(h["X-Forwarded-Proto"]); err != nil {
		return forwarded{}, fmt.Errorf("header X-Forwarded-Proto: %v", err)
	}
	const advice = "; the proxy must set one of them and remove the other"
	switch {
	case len(hops) > 0 && len(usualHops) > 0 && standard.client != usual.client:
		return forwarded{}, errors.New("the headers Forwarded and X-Forwarded-For name different clients" + advice)
	case standard.scheme != "" && usual.scheme != "" && standard.scheme != usual.scheme:
		return forwarded{}, errors.New("the headers Forwarded and X-Forwarded-Proto name different schemes" + advice)
	case usual.client.IsValid():
		standard.client = usual.client
	}
	if usual.scheme != "" {
		standard.scheme = usual.scheme
	}
	return standard, nil
}

// clientOf finds the client: the last hop that is not a proxy itself, or the first one if
// all are. Each proxy appends the hop that it saw, so that a client can write what stands
// in front of its own hop only. That part is not looked at. If a proxy hides the sender,
// the client is unknown, and the address is that of the hop behind it.
func (s *Server) clientOf(hops []hop) (client forwarded, err error) {
	for _, h := range slices.Backward(hops) {
		if client.scheme, err = parseScheme(h.scheme); err != nil {
			return forwarded{}, err
		}
		address, err := parseNode(h.node)
		if err != nil {
			return forwarded{}, err
		}
		if !address.IsValid() {
			break
		}
		client.client = address
		if !s.isProxy(address) {
			break
		}
	}
	return client, nil
}

// parseForwardedFor splits X-Forwarded-For. Several lines are one list, and empty elements
// do not count (RFC 9110, section 5.6.1).
func parseForwardedFor(lines []string) []hop {
	var hops []hop
	for _, node := range elements(lines) {
		hops = append(hops, hop{node: node})
	}
	return hops
}

// parseForwardedProto returns the scheme in X-Forwarded-Proto, "" if there is none. The
// elements are not in step with those of X-Forwarded-For, so that one http among several
// elements counts as the client's.
func parseForwardedProto(lines []string) (scheme string, err error) {
	for _, element := range elements(lines) {
		next, err := parseScheme(element)
		if err != nil {
			return "", err
		}
		if scheme == "" || next == "http" {
			scheme = next
		}
	}
	return scheme, nil
}

func elements(lines []string) []string {
	var all []string
	for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if element = trimSpace(element); element != "" {
			all = append(all, element)
		}
	}
	return all
}

// trimSpace removes the optional white space of HTTP.
func trimSpace(text string) string { return strings.Trim(text, " \t") }

func parseScheme(text string) (string, error) {
	switch scheme := strings.ToLower(text); scheme {
	case "", "http", "https":
		return scheme, nil
	}
	return "", fmt.Errorf("%.20q is not http or https", text)
}

// parseNode reads a node of RFC 7239, section 6. It also accepts an IPv6 address without
// brackets, which X-Forwarded-For has. The address is not valid if the node has none: if
// it is empty, unknown, or a name that hides the address.
func parseNode(node string) (address netip.Addr, err error) {
	if address, err := netip.ParseAddr(node); err == nil {
		return address.Unmap().WithZone(""), nil
	}
	name, port := node, ""
	if end := strings.LastIndexByte(node, ':'); end > strings.LastIndexByte(node, ']') {
		name, port = node[:end], node[end+1:]
		if !isPort(port) {
			return netip.Addr{}, fmt.Errorf("%.60q has no port behind its colon", node)
		}
	}
	if name == "" && port == "" || strings.EqualFold(name, "unknown") || isHidden(name) {
		return netip.Addr{}, nil
	}
	if inside, ok := strings.CutPrefix(name, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		address, err = netip.ParseAddr(inside)
		if !ok || err != nil || !address.Is6() {
			return netip.Addr{}, fmt.Errorf("%.60q is not an address", node)
		}
	} else if address, err = netip.ParseAddr(name); err != nil || !address.Is4() {
		return netip.Addr{}, fmt.Errorf("%.60q is not an address", node)
	}
	return address.Unmap().WithZone(""), nil
}

// isPort accepts a number or a hidden port.
func isPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil || isHidden(port)
}

// isHidden reports whether a text is an obfuscated identifier of RFC 7239, section 6.3.
func isHidden(text string) bool {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return len(text) > 1 && text[0] == '_' && strings.Trim(text, alphabet) == ""
}

// parseForwarded reads Forwarded (RFC 7239, section 4). It reads the whole header and
// accepts nothing that breaks the grammar: a client that leaves a quoted string open would
// otherwise hide the element that the proxy appends.
func parseForwarded(lines []string) ([]hop, error) {
	var hops []hop
	rest := strings.Join(lines, ",")
	for rest != "" {
		var next hop
		seen := map[string]bool{}
		for {
			name, value, after, err := cutPair(rest)
			if err != nil {
				return nil, err
			}
			if name = strings.ToLower(name); name != "" && seen[name] {
				return nil, fmt.Errorf("an element has %.20q twice", name)
			}
			seen[name] = true
			switch name {
			case "for":
				next.node = value
			case "proto":
				next.scheme = value
			}
			var more bool
			if rest, more = strings.CutPrefix(after, ";"); !more {
				break
			}
		}
		if len(seen) > 1 || !seen[""] {
			hops = append(hops, next)
		}
		rest = strings.TrimPrefix(rest, ",")
	}
	return hops, nil
}

// cutPair reads one parameter of Forwarded, and the white space around it. What follows it
// begins with a semicolon or a comma, or is empty. The name is "" if there is none.
func cutPair(text string) (name, value, after string, err error) {
	text = trimStart(text)
	end := strings.IndexFunc(text, isNoTokenRune)
	if end < 0 {
		end = len(text)
	}
	name, after = text[:end], text[end:]
	if name != "" {
		equals := false
		if after, equals = strings.CutPrefix(after, "="); !equals {
			return "", "", "", fmt.Errorf("%.20q has no value", name)
		}
		if value, after, err = cutValue(after); err != nil {
			return "", "", "", err
		}
	}
	if after = trimStart(after); after != "" && after[0] != ';' && after[0] != ',' {
		return "", "", "", fmt.Errorf("unexpected text at %.20q", after)
	}
	return name, value, after, nil
}

// cutValue reads a token or a quoted string (RFC 9110, section 5.6.4).
func cutValue(text string) (value, after string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexFunc(text, isNoTokenRune)
		if end < 0 {
			end = len(text)
		}
		if end == 0 {
			return "", "", errors.New("a parameter has no value")
		}
		return text[:end], text[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			if i++; i == len(text) {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", errors.New("a quoted string has no end")
}

func trimStart(text string) string { return strings.TrimLeft(text, " \t") }

// isNoTokenRune also accepts the colon of an address in a token, which the grammar wants in
// quotes, because some proxies leave those out.
func isNoTokenRune(r rune) bool {
	const marks = "!#$%&'*+-.^_`|~:"
	isToken := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(marks, r)
	return !isToken
}
