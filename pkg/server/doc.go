// Package server answers HTTP for a [keys.Ring]: it publishes the JWK Set and
// the discovery document, issues tokens, and reports health and metrics.
//
//	GET  /jwks                                     the JWK Set
//	GET  /.well-known/jwks.json                    the same bytes
//	GET  /.well-known/openid-configuration         discovery (OpenID Connect Discovery 1.0)
//	GET  /.well-known/oauth-authorization-server   the same bytes (RFC 8414)
//	POST /auth                                     a token; ?expired asks for an expired one
//	GET  /livez /readyz /metrics                   health and Prometheus metrics
//
// GET includes HEAD. The first four also answer the preflight requests of browsers and
// may be read from any origin. They answer a path with two leading slashes too, because
// a client that appends a path to an issuer with a final slash sends that. All other
// paths are answered with 404, and no path redirects.
//
// # What POST /auth takes
//
// The body is empty, a form, or a JSON object. Each member is optional:
//
//	username  becomes sub; so does the user of HTTP Basic
//	password  is ignored: every client that reaches the route gets a token
//	sub       the subject; wins over username, which wins over Basic
//	aud       a string or an array of strings, in a form several fields
//	scope     a string
//	ttl       seconds, or a duration such as "5m"
//	claims    an object of further claims; JSON only
//
// A member that is null counts as absent. An unknown member of a JSON object is refused,
// because it is most often misspelt. If username or password is present, the body is a
// login form, and unknown members are ignored.
// Unknown form fields are ignored (RFC 6749, section 3.2), and so is every
// Authorization except Basic. The answer is
//
//	{"token": T, "access_token": T, "token_type": "Bearer", "expires_in": 3600, "kid": K}
//
// or T alone if Accept prefers application/jwt.
//
// # What it guarantees
//
//   - The JWK Set is served from memory, as bytes that are encoded once for each
//     change. A keyset that the ring reports as stale is never served.
//   - Every error is a problem document (RFC 9457). One table maps errors to answers;
//     an error that is not in it is answered with "internal error" and logged.
//   - Each request has an id, in X-Request-Id and in its log line: the client's own if
//     it is short and harmless, else a new one. A new one is also the jti of the
//     token, so that a log line leads to its token and back.
//   - Requests for tokens are logged at info, all others at debug. No token, body,
//     query, path or Authorization is logged.
//   - Everything that a client can make the server hold is bounded: connections,
//     header and body sizes, the time of each phase, requests that wait for a
//     signature, and the client addresses of the rate limit.
//
// # What it refuses
//
// It never changes the keyset, and has no settings besides [Options]. It ignores
// X-Forwarded-For.
package server
