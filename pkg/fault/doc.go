// Package fault is the catalogue of faulty tokens: tokens with one fault each, which a
// verifier must refuse, and unusual tokens, which it must accept.
//
// [Cases] lists them. [Case.Make] makes the token of a case by changing the good token,
// which is the one that [token.Mint] makes for [Input.Request]. Apart from the fault, the
// token is valid: if a verifier refuses the good token, or refuses a token for another
// reason than its fault, its verdicts show nothing. If an Input lacks what a case needs,
// such as an ECDSA key, Make returns a [NeedError].
//
// A verdict is whether a verifier should accept a token. A gallery ([NewGallery]) is a
// set of files with all tokens:
//
//	manifest.json           the settings of the verifier, and the verdict of each token
//	jwks.json               the keys that the verifier trusts
//	alg-none.jwt            one token, without a trailing newline
//	alg-none-case.title.jwt the variant alg-none-case/title
//
// The verdicts are for a verifier with the keys, issuer and audience of the gallery, the
// time of the manifest, and a leeway from 2s to 5m. If a case has a profile, the verifier
// must use it. The manifest:
//
//	{"version":1,"time":"2030-03-04T12:00:00Z","issuer":"…","audience":["…"],"subject":"…",
//	 "jwks":"jwks.json","canary":"…","withdrawn":[{"kid":"…","state":"revoked"}],
//	 "cases":[{"file":"alg-none.jwt","answer":"reject","name":"alg-none","group":"signature","differs":"…",
//	           "verdict":"reject!","tier":"core","severity":"critical","rules":["RFC 7518 §3.6"],"cves":["…"]}],
//	 "left_out":[{"name":"…","reason":"…"}]}
//
// The same input gives the same tokens, except where an algorithm is randomized: PSS,
// ECDSA and encryption.
//
// No token does harm if a verifier accepts it. The package generates a key only if the
// Input has none for the attacker or the gallery, and never returns a private key.
package fault
