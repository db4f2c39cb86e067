// Package remote obtains the public keys of other issuers: it fetches a JWK Set by its
// URL, or finds that URL by issuer discovery, and caches the set by the rules of HTTP.
//
//	           Keys(ctx, kid)
//	                │
//	fresh document ─┤ kid found            → the keys
//	                │ kid not found        → one refetch, past every proxy,
//	                │                        at most once per Cooldown
//	old document  ──┤ refetch succeeds     → the new document replaces the old
//	                │ refetch fails        → the old one serves until StaleUntil,
//	                │                        and the next try waits
//	no document   ──┘ fetch fails          → ErrUnavailable
//
// It guarantees:
//
//   - A new document replaces the old one completely. A key that its issuer withdrew
//     is gone with the next valid document, and at the latest when the old one may no
//     longer be used (Document.StaleUntil), also if the issuer cannot be reached.
//   - Cache-Control, Expires, Age, ETag and Last-Modified are honoured
//     (RFC 9111), as by a private cache, which ignores s-maxage.
//   - Each Source sends at most one request at a time. If one caller gives up, the
//     callers that wait for the same response still get it.
//   - The number of requests to an issuer is bounded, also while many tokens with
//     unknown kids arrive and while the issuer is down.
//   - A key that cannot be used (of an unknown type, broken, or private) does not
//     affect the others; it is reported as a jwk.Problem.
//
// It refuses plain http to other machines, URLs with a password, redirects to another
// origin, responses that are too large or too slow, responses other than 200 with a
// JWK Set, and metadata that names another issuer. It never fetches a URL that a token
// names. Its errors do not show the query of a URL, which may have credentials.
package remote
