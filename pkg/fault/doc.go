// Package fault is the catalogue of faulty tokens, as data: what a verifier must
// refuse, each token with one fault in it, and what it must accept.
//
// [Cases] lists them; [Case.Make] makes the token of one from a good token, which is
// what [token.Mint] makes of [Input.Request]. Everything but the fault is sound: a
// verifier that refuses the good token, or one that accepts it for a wrong reason,
// learns nothing here. A case that cannot be made of what it was given, such as an
// ECDSA fault without an ECDSA key, returns a [NeedError] and never something else.
//
// [NewGallery] makes the whole set as files:
//
//	manifest.json           what a good verifier answers to each, and what it must know
//	jwks.json               the keys it trusts
//	alg-none.jwt            one token, without a newline at its end
//	alg-none-case.title.jwt a variant: alg-none-case/title
//
// The verdicts hold for a verifier that knows jwks.json, issuer and audience, stands
// at the manifest's time, and allows from 2s to 5m of leeway. Cases with a profile are
// judged under that profile:
//
//	{"version":1,"time":"2030-03-04T12:00:00Z","issuer":"…","audience":["…"],"subject":"…",
//	 "jwks":"jwks.json","canary":"…","withdrawn":[{"kid":"…","state":"revoked"}],
//	 "cases":[{"file":"alg-none.jwt","answer":"reject","name":"alg-none","group":"signature","differs":"…",
//	           "verdict":"reject!","tier":"core","severity":"critical","rules":["RFC 7518 §3.6"],"cves":["…"]}],
//	 "left_out":[{"name":"…","reason":"…"}]}
//
// The same input gives the same tokens, except where a random part belongs to the
// algorithm: PSS, ECDSA and encryption.
//
// The package guesses no secrets and carries no payload that does harm where it is
// believed. It generates keys only where a gallery, or the part of an attacker,
// leaves one open, and never returns or writes a private half.
package fault
