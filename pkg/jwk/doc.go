// Package jwk reads, checks and writes keys: JWK, JWK Set, PEM, thumbprints and raw
// JWS signatures (RFC 7515, 7517, 7518, 7638, 8037, 9864). It has the only table of
// signature algorithms in this module.
//
// Public keys are written with the members in this order:
//
//	{"kty":"RSA","kid":"…","use":"sig","alg":"RS256","n":"…","e":"AQAB"}
//	{"kty":"EC","kid":"…","use":"sig","alg":"ES256","crv":"P-256","x":"…","y":"…"}
//	{"kty":"OKP","kid":"…","use":"sig","alg":"EdDSA","crv":"Ed25519","x":"…"}
//
// A JWK Set:
//
//	{"keys":[…]}
//
// These rules are true of every key that the package returns:
//
//   - PublicKey and PrivateKey are different types. JSON that has a private or
//     symmetric member is never decoded into a PublicKey, also in a set: only Parse,
//     ParseAll and Thumbprint read the public part of a private key.
//   - RSA moduli have 2048 to 4096 bits and are not easy to factor by a known weakness,
//     EC points lie on P-256, P-384 or P-521, Ed25519 points are not of low order.
//   - A key has one JWK and one thumbprint, with parameters in canonical base64url, in
//     whatever form it was read. What providers publish is accepted if it has one
//     meaning; Lint reports what RFC 7517 and RFC 7518 do not allow.
//   - A key verifies only signatures that its alg, use and key_ops allow.
//   - A PrivateKey does not print, log or marshal itself. Only MarshalPKCS8 and
//     MarshalJWK return its private part.
//
// The package refuses symmetric keys, encryption keys and "none". It does not
// follow x5c, x5u or other references, and knows neither tokens nor key states.
package jwk
