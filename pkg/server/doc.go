// Package server answers HTTP for a [keys.Ring]: it publishes the JWK Set and
// the discovery document, gives out tokens, and tells how it fares.
//
//	GET  /jwks                                     the JWK Set
//	GET  /.well-known/jwks.json                    the same bytes
//	GET  /.well-known/openid-configuration         discovery (OpenID Connect Discovery 1.0)
//	GET  /.well-known/oauth-authorization-server   the same bytes (RFC 8414)
//	POST /auth                                     a token; ?expired asks for an expired one
//	GET  /livez /readyz /metrics                   health and Prometheus metrics
//
// GET stands for HEAD too. The first four also answer the preflight requests of
// browsers, may be read from any origin, and may be asked for with two slashes,
// as who appends them to an issuer with a final slash does. No other path leads
// anywhere, and none redirects.
//
// # What POST /auth takes
//
// The body is empty, a form, or a JSON object. Each member is optional:
//
//	username  becomes sub; so does the user of HTTP Basic
//	password  is not looked at: whoever reaches the route gets a token
//	sub       the subject; wins over username, which wins over Basic
//	aud       a string or an array of strings, in a form several fields
//	scope     a string
//	ttl       seconds, or a duration such as "5m"
//	claims    an object of further claims; JSON only
//
// A member that is null was not stated. Any other member of a JSON object is
// refused, because it is most often a misspelt one, unless username or password
// stands beside it: then the body is a login form, which may carry anything.
// Unknown form fields are passed over (RFC 6749, section 3.2), as is every
// Authorization but Basic. The answer is
//
//	{"token": T, "access_token": T, "token_type": "Bearer", "expires_in": 3600, "kid": K}
//
// or T alone where Accept prefers application/jwt.
//
// # What it guarantees
//
//   - The JWK Set is served from ready-made bytes, and nothing is allocated for
//     it. It is never served from a keyset that the ring calls stale.
//   - Every error is a problem document (RFC 9457). Its text comes from one
//     table; what is not in the table is "internal", and is logged.
//   - A request is logged with an id that the response carries too:
//     X-Request-Id, the caller's own if it is sane. GET routes are logged at
//     debug, so polling does not flood the log; they get an id of ours only
//     where they fail or are logged.
//   - An id of ours is the jti of the token too, so that a log line leads to
//     its token and back. One that the caller brought is not: it may come twice.
//   - No token, body, query, path or Authorization is ever logged.
//   - Everything that a client can make us hold is bounded: connections, header
//     and body sizes, the time of each phase, requests that wait for a
//     signature, and what is remembered of client addresses.
//
// # What it refuses
//
// It takes no step in the life of the keys, and has no settings but [Options].
// It trusts no X-Forwarded-For.
package server
