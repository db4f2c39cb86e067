// Package token mints and verifies JSON Web Tokens in compact form
//
//	BASE64URL(header) . BASE64URL(payload) . BASE64URL(signature)
//
// (RFC 7515, 7519, 8725). A Go service verifies a token in ten lines:
//
//	verifier := token.Verifier{
//		Keys:     source, // a *remote.Source, or any other KeySource
//		Issuer:   []string{"https://issuer.example"},
//		Audience: []string{"https://api.example"},
//		Leeway:   30 * time.Second,
//	}
//	verdict, err := verifier.Verify(ctx, compact)
//	if err != nil {
//		return err // a *token.Refusal, or the keys could not be obtained
//	}
//	use(verdict.Claims)
//
// A verdict is the result of a verification, a refusal is one check that a token failed.
// Verify accepts a token only if:
//
//   - The trusted key determines the algorithm. The token cannot bring its own key: jwk,
//     jku, x5u and x5c are never read, and "none" and HMAC are not supported.
//   - Header and claims are unambiguous: each is one JSON object in valid UTF-8, without
//     duplicate names, and no claim differs from a known one in case only.
//   - Each part is canonical, unpadded base64url without line breaks or spaces. ECDSA
//     signatures stay malleable (s and n-s both verify), so do not compare tokens by
//     their bytes: use jti.
//   - The header needs no extension: crit, b64, zip and encrypted or nested tokens are
//     refused.
//   - The token expires, and iss and aud are the expected ones.
//
// golang-jwt signs and verifies: [Mint] builds tokens with jwt.NewWithClaims, and each
// signature is made and verified by a [SigningMethod]. This package makes all other
// checks, because the parser of golang-jwt accepts tokens that Verify must refuse.
//
// Each step can be used alone: [Split] (encoding), [ParseHeader] and [Header.Algorithm],
// [SelectKey], [VerifySignature] (all of these and the signature, for payloads that are
// not claims), [ParseClaims] and [Verifier.CheckClaims]. [Reasons] lists every reason for
// a refusal. [Inspect] decodes a token without verifying it.
//
// Mint makes only tokens that a Verifier accepts, and none that expires later than its
// Signer allows.
//
// Callers remove a "Bearer " prefix or a trailing newline; this package refuses both. It
// keeps no state, and no error contains a token.
package token
