// Package jwk is a key on the wire: JWK, JWK Set, PEM, thumbprint and raw JWS
// signatures, and the one table of algorithms that the rest of the product
// reads (RFC 7515, 7517, 7518, 7638, 8037, 9864).
//
// A public key, as it is written (members in this order):
//
//	{"kty":"RSA","kid":"…","use":"sig","alg":"RS256","n":"…","e":"AQAB"}
//	{"kty":"EC","kid":"…","use":"sig","alg":"ES256","crv":"P-256","x":"…","y":"…"}
//	{"kty":"OKP","kid":"…","use":"sig","alg":"EdDSA","crv":"Ed25519","x":"…"}
//
// A JWK Set:
//
//	{"keys":[…]}
//
// What holds for every key that this package hands out:
//
//   - PublicKey and PrivateKey are different types. A PublicKey never comes from
//     JSON that has a private or symmetric member.
//   - RSA moduli have 2048 to 4096 bits, EC points lie on P-256, P-384 or P-521,
//     Ed25519 points are not of low order, and the parameters are canonical
//     base64url, so that a key has one spelling and one thumbprint.
//   - A key verifies only what it may: its own alg, use and key_ops are obeyed.
//   - A PrivateKey does not print, log or marshal itself. MarshalPKCS8 and
//     MarshalJWK are the ways out.
//
// The package refuses symmetric keys, encryption keys and "none". It follows no
// x5c, x5u or other reference, and knows neither tokens nor the life of a key.
package jwk
