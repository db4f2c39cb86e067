// Package server answers HTTP for a [keys.Ring]: it publishes the JWK Set and
// the discovery document, issues tokens, and reports its health.
//
//	GET  /jwks                                     the JWK Set
//	GET  /.well-known/jwks.json                    the same bytes
//	GET  /.well-known/openid-configuration         discovery (OpenID Connect Discovery 1.0)
//	GET  /.well-known/oauth-authorization-server   the same bytes (RFC 8414)
//	POST /auth                                     a token; ?expired asks for an expired one; 404 if
//	                                               the server only publishes (Options.NoTokens)
//	GET  /livez /readyz /metrics                   health and Prometheus metrics; no /metrics with
//	                                               Options.NoMetrics, but MetricsHandler has it
//
// GET includes HEAD. Scripts of any origin may read the first four, which are the public
// documents, and these answer the preflight requests of browsers. If the issuer has a path,
// they also answer where that path precedes or follows theirs, as in /tenant/jwks and
// /.well-known/oauth-authorization-server/tenant. They also answer if their path starts
// with two slashes, because some clients append a path to an issuer with a final slash.
// Every path may itself end with a slash. The server answers all other paths with 404 and
// never redirects. On the public documents it evaluates If-None-Match, and ignores Range
// and other conditions.
//
// # What POST /auth accepts
//
// The body is empty, a form, or a JSON object. Each member is optional:
//
//	sub            the subject
//	username       becomes sub if there is no sub
//	client_id      becomes sub if there is neither; then the user of HTTP Basic does
//	password       is ignored, as is client_secret: every client gets a token
//	aud            a string or an array of strings, in a form several fields
//	audience       is added to aud, as is resource (RFC 8707)
//	scope          a string
//	ttl            seconds, or a duration such as "5m"
//	claims         an object of further claims; JSON only
//	grant_type     client_credentials or password
//
// A member that is null counts as absent. An unknown member of a JSON object is an error,
// because it is probably misspelt. If username, password, client_id, client_secret or
// grant_type is present, the body is that of a login or of an OAuth client, and unknown
// members are ignored. Unknown form fields are ignored (RFC 6749, section 3.2), and so is
// every Authorization header except Basic. A name that has a meaning is never ignored in
// the wrong place: expired in the body, a member of the body in the query, and a claim that
// the server sets, such as exp, are errors. The answer is
//
//	{"token": T, "access_token": T, "token_type": "Bearer", "expires_in": 3600, "kid": K}
//
// or T alone if Accept prefers application/jwt.
//
// A web page in the browser of a developer must not get a token. The server therefore
// answers 403 to a page of another origin ([http.CrossOriginProtection]). On a loopback
// address and on a Unix socket, it answers 421 to a Host other than a loopback name or
// address or the host of the issuer, because the name of a page may resolve to a loopback
// address, or to that of a proxy in front (DNS rebinding). It never reads X-Forwarded-Host.
//
// # Behind a proxy
//
// The address of a client is that of the peer, unless the peer is a proxy
// (Options.BehindProxy). Then it is the last address in Forwarded (RFC 7239) or
// X-Forwarded-For that is not a proxy itself. What the client wrote stands in front of
// that address and is not looked at. In detail:
//
//   - Several lines of a header are one list. Empty elements do not count.
//   - A port is removed, as are the brackets of an IPv6 address and its zone.
//   - If a proxy says unknown or a name that hides the address (RFC 7239, section 6.3), the
//     address is that of the proxy behind it. So it is if no header says anything.
//   - If the header breaks its grammar, or the proxy wrote what is no address, or Forwarded
//     and X-Forwarded-For or X-Forwarded-Proto disagree, then a request for a token is
//     answered with 400: a proxy that sets one kind of header passes the other one through
//     from the client. Documents are served in any case, and the log line has the address
//     of the proxy.
//   - The scheme is that of the same element of Forwarded. In X-Forwarded-Proto, one http
//     among several elements counts.
//
// Credentials that were sent over plain http are refused with 403: by a client of which
// the proxy says http, and by a peer that is not a proxy and not this machine.
//
// # What it guarantees
//
//   - The JWK Set is served from memory, as bytes that are encoded once for each
//     change. A keyset that the ring calls stale is never served.
//   - Every error is a problem document (RFC 9457), except the 503 of /readyz, which says
//     why the server is not ready. One table maps errors to answers;
//     an error that is not in it is answered with "internal error" and logged.
//   - Each token and each error has a request id, in X-Request-Id and in the log line. If
//     the client sends a short id of safe characters, the server uses it; otherwise it
//     generates one. A generated id is also the jti of the token, which links the token to
//     its log line. The server generates no id for a document, because a cache would give
//     it to other clients too.
//   - Requests for tokens are logged at info, all others at debug. No token, body,
//     query, path or Authorization is logged.
//   - These are bounded: open connections (idle ones included), header and body sizes,
//     the time of each phase of a request, requests that wait for a signature, and the
//     addresses that the rate limiter keeps.
//   - Connections without a complete request take at most half of MaxConnections. If there
//     are more, the oldest of them is closed, so that a client that sends nothing cannot
//     keep others out. Idle connections are closed after a minute, or after a second while
//     there is no place for others.
//
// # What it does not do
//
// It does not rotate, revoke or expire keys. It believes no header about the client, unless
// a proxy of Options.BehindProxy sends it.
package server
