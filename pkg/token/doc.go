// Package token mints and verifies JSON Web Tokens in the compact form
//
//	BASE64URL(header) . BASE64URL(payload) . BASE64URL(signature)
//
// (RFC 7515, 7519, 8725). A Go service verifies our tokens in ten lines:
//
//	verifier := token.Verifier{
//		Keys:     source, // a *remote.Source, or anything else with a Keys method
//		Issuer:   "https://issuer.example",
//		Audience: []string{"https://api.example"},
//		Leeway:   30 * time.Second,
//	}
//	verdict, err := verifier.Verify(ctx, compact)
//	if err != nil {
//		return err // a *token.Refusal, or the keys could not be obtained
//	}
//	use(verdict.Claims)
//
// What holds for every token that Verify accepts:
//
//   - The algorithm is one that the trusted key is for. The token cannot bring its
//     own key: jwk, jku, x5u and x5c are never read, "none" and HMAC do not exist.
//   - Header and claims each have one reading: valid UTF-8, unique names, no second
//     value behind the first, no claim spelled almost like a registered one.
//   - The encoding has one spelling: unpadded base64url with no spare bits, line
//     breaks or spaces. ECDSA alone stays malleable (s and n-s both verify), so do
//     not tell tokens apart by their bytes: use jti.
//   - It asks for nothing that this package does not do: crit, b64, zip and nested
//     or encrypted tokens are refused.
//   - It expires, names the expected issuer, and is for the expected audience.
//
// Each step is usable alone: [Split] (shape), [ParseHeader] and [Header.Algorithm]
// (header), [SelectKey] (key), [VerifySignature] (all of these and the signature,
// for payloads that need not be a JWT), [ParseClaims] and [Verifier.CheckClaims] (claims).
// [Reasons] lists every way to be refused. A goroutine that judges many tokens is
// faster with [Verifier.Checker].
//
// [Mint] makes only tokens that such a verifier accepts, and none that outlives
// what its Signer allows; a [Minter] makes many of them faster. [SigningMethod] is for
// programs that make theirs with golang-jwt. [Inspect] shows what a token says and
// verifies nothing.
//
// The package forgives nothing on input: a "Bearer " prefix or a final newline is
// for the caller to strip. It keeps no state, and no error holds a token.
package token
