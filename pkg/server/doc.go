// Package server answers HTTP for a [keys.Ring]: it publishes the JWK Set and
// the discovery document, issues tokens, and reports its health.
//
//	GET  /jwks                                     the JWK Set
//	GET  /.well-known/jwks.json                    the same bytes
//	GET  /.well-known/openid-configuration         discovery (OpenID Connect Discovery 1.0)
//	GET  /.well-known/oauth-authorization-server   the same bytes (RFC 8414)
//	POST /auth                                     a token; ?expired asks for an expired one; 404 if
//	                                               the server only publishes (Options.NoTokens)
//	POST /oauth2/token                             a token for a client of the list (OAuth 2.0 client
//	                                               credentials); only with Options.Clients
//	GET  /livez /readyz /metrics                   health and Prometheus metrics; no /metrics with
//	                                               Options.NoMetrics, but MetricsHandler has it
//
// GET includes HEAD. Scripts of any origin may read the first four, which are the public
// documents, and these answer the preflight requests of browsers. If the issuer has a path,
// they also answer where that path precedes or follows theirs, as in /tenant/jwks and
// /.well-known/oauth-authorization-server/tenant; the two routes for tokens answer where it
// precedes theirs. The documents also answer if their path starts
// with two slashes, because some clients append a path to an issuer with a final slash.
// Every path may itself end with a slash. The server answers all other paths with 404 and
// never redirects. On the public documents it evaluates If-None-Match, and ignores Range
// and other conditions.
//
// # What POST /auth accepts
//
// Without Options.Clients, the body is empty, a form, or a JSON object. Each member is
// optional:
//
//	sub            the subject
//	username       becomes sub if there is no sub
//	client_id      becomes sub if there is neither; then the user of HTTP Basic does
//	password       is ignored, as are client_secret and client_assertion: every client
//	               gets a token
//	aud            a string or an array of strings, in a form several fields
//	audience       is added to aud, as is resource (RFC 8707)
//	scope          a string
//	ttl            seconds, or a duration such as "5m"
//	claims         an object of further claims; JSON only
//	grant_type     client_credentials or password
//
// A member that is null counts as absent, as does an empty aud of a form. An unknown member of a JSON object is an error,
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
// With Options.Clients, the request has the credentials of a client as at the token endpoint,
// in a form or in JSON, and may have aud, audience or resource, scope and ttl. The list of
// clients determines the rest, so that sub, username, password and claims are errors. A
// client gets an expired token only if its entry says so.
//
// # The token endpoint
//
// POST /oauth2/token grants client_credentials alone (RFC 6749, section 4.4). The body is a
// form in UTF-8, and the query is empty. An empty parameter counts as absent, unknown ones
// are ignored, and one that is given twice is an error. The client authenticates in one way:
//
//	HTTP Basic                                its id and secret, each form-encoded
//	client_id, client_secret                  the same in the body
//	client_assertion, client_assertion_type   a JWT (RFC 7523); client_id may be left out
//
// resource (RFC 8707) chooses one of the client's audiences, and may be left out if there is
// one. audience is another name for it. scope chooses some of its scopes, and the answer says
// which it got. The metadata lists what the clients of the list can use, and follows a
// change of the list at once.
//
// The answer to an error has error and error_description (RFC 6749, section 5.2), and these
// statuses:
//
//	invalid_client           401   the credentials are missing, or they are not valid. The second
//	                               says the same for each cause: an unknown client, a wrong
//	                               secret, an expired assertion. The audit log has the reason, or
//	                               the log if there is none. WWW-Authenticate asks for HTTP
//	                               Basic if the request has an Authorization header
//	invalid_scope            400   the client may not have one of the scopes
//	invalid_target           400   the client may not have the audience, or resource has several
//	unsupported_grant_type   400
//	invalid_request          400   the rest; also 413 for a body that is too large, 415 for
//	                               another type, and 403 and 421 as described below
//	slow_down                429   a limit; Retry-After says when to try again
//	temporarily_unavailable  503   likewise: no key to sign with, too much load, keys of a client
//	                               that cannot be fetched, an audit log that cannot be written
//	server_error             500   a fault of this program
//
// # Browsers
//
// A web page in the browser of a developer must not get a token. At both routes for tokens,
// the server therefore answers 403 to a page of another origin
// ([http.CrossOriginProtection]). On a loopback
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
// With Options.Clients, requests for tokens over plain http are refused with 403: by a
// client of which the proxy says http, and by a peer that is not a proxy and not this
// machine.
//
// # Limits
//
// Each limit answers 429 with Retry-After, and only to its address or its client:
//
//   - An address sends Options.RateLimit requests for tokens a second.
//   - With Options.Clients, an address may send 20 requests without valid credentials, and
//     then one a second. If it sends more, the server reads no body and checks no signature,
//     also of those that have already arrived. Only what the processors are checking at that
//     moment is not counted yet. A request with valid credentials does not count.
//   - A client gets as many tokens a second as its entry says (rate_limit).
//
// The address of an IPv6 client is its network of 64 bits. A request without valid
// credentials never waits for a signature. As many client
// assertions are verified at the same time as Go uses processors, and at most 256 wait for
// that. At most 256, and 64 of one address, wait for keys that are not in the list itself.
// Others are answered 503.
//
// # What the audit log has
//
// Options.Audit gets one line for each token and each refusal, before the answer. If the line
// is required and cannot be written, the answer is 503 and no token leaves the server. A
// refusal is an answer that says something about the request: 400, 401, 403, 408, 413, 415
// and 421. The log has no line for 429, 500 and 503, where the server decided nothing about
// the client, and none for 404 and 405, which are no requests for a token.
//
// # What it guarantees
//
//   - The JWK Set is served from memory, as bytes that are encoded once for each
//     change. A keyset that the ring calls stale is never served.
//   - Every error is a problem document (RFC 9457), except at the token endpoint, and except
//     the 503 of /readyz, which says why the server is not ready. One table maps errors to answers;
//     an error that is not in it is answered with "internal error" and logged.
//   - Each token and each error has a request id, in X-Request-Id and in the log line. If
//     the client sends a short id of safe characters, the server uses it; otherwise it
//     generates one. A generated id is also the jti of the token, which links the token to
//     its log line. The server generates no id for a document, because a cache would give
//     it to other clients too.
//   - Requests for tokens are logged at info, all others at debug. No token, body,
//     query, path or Authorization is logged.
//   - These are bounded: open connections (idle ones included), header and body sizes,
//     the time of each phase of a request, requests that wait for a signature, checks of
//     client assertions, and the addresses and clients that the limits keep.
//   - Connections without a complete request take at most half of MaxConnections. If there
//     are more, the oldest of them is closed, so that a client that sends nothing cannot
//     keep others out. A connection of HTTP/2 counts for as long as one of its requests waits
//     for its body. Idle connections are closed after a minute, or after a second while
//     there is no place for others.
//   - One address has at most half of MaxConnections, because a client of HTTP/2 can also hold
//     a connection by not taking the answers. Proxies of Options.BehindProxy and peers on a
//     Unix socket are not limited.
//   - A connection ends after a request whose body has chunks, because it may have had a
//     Content-Length that disagrees (RFC 9112, section 6.1).
//
// # What it does not do
//
// It does not rotate, revoke or expire keys. It believes no header about the client, unless
// a proxy of Options.BehindProxy sends it.
package server
