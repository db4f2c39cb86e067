// Package remote obtains other people's public keys: it fetches a JWK Set by
// its URL, or by the issuer that publishes it, and caches it as HTTP says.
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
//   - A document is replaced whole. A key that its issuer withdrew is gone with
//     the next good document, and at the latest when the old one may no longer
//     be used (Document.StaleUntil), whether or not the issuer can be reached.
//   - Cache-Control, Expires, Age, ETag and Last-Modified are honoured
//     (RFC 9111), as a private cache does it: s-maxage is not for us.
//   - At most one request is under way per Source. A caller that gives up does
//     not disturb the callers that wait for the same answer.
//   - Tokens with made-up kids, and an issuer that is down, cost the issuer a
//     bounded number of requests, however many tokens arrive.
//   - One member that cannot be used (an unknown type, a broken or a private
//     key) never spoils the others; it is reported as a jwk.Problem.
//
// It refuses plain http beyond this machine, addresses that carry a password,
// redirects to another origin, answers that are too large or too slow, answers
// other than 200 with a JWK Set, and metadata of another issuer than the asked
// one. It never follows an address that a token names, and its errors show no
// query string, since that is where people put credentials.
package remote
