// Package client says who may ask for a token: the list of clients, and the three ways to
// authenticate one.
//
// A client proves who it is in one of three ways, and its entry has exactly one of them:
//
//	trust            a token that its platform gave it (a Kubernetes service account, GitHub
//	                 Actions, SPIFFE, another jwksctl) is its assertion. The entry pins the
//	                 issuer, the subject, the audience and the typ. No secret exists.
//	jwks, jwks_uri   it signs an assertion with its own key: private_key_jwt (RFC 7523,
//	                 section 2.2).
//	secret_sha256    it has a secret of 256 random bits, of which the list has the SHA-256.
//
// An entry, as YAML:
//
//	clients:
//	- id: billing                        # client_id, and sub of its tokens
//	  audiences: [https://api.example]   # it may ask for a token for one of these
//	  scopes: [read, write]              # it may ask for some of these; all if it names none
//	  max_ttl: 15m                       # longest lifetime; at most token_ttl, which is the default
//	  claims: {team: payments}           # further claims of each of its tokens
//	  expired_tokens: false              # whether it may ask for expired tokens
//	  rate_limit: 10                     # tokens a second; 0 is no limit
//
//	  trust:                             # one of the three ways
//	  - issuer: https://token.actions.githubusercontent.com
//	    subject: repo:example/shop:*     # exact, or a prefix that ends with *
//	    audience: https://tokens.example # the only audience of the platform's token
//	    typ: JWT                         # JWT, which is the default, also matches an absent typ
//	    require: {repository_id: "4711"} # claims that must have these values
//	    jwks_uri: https://…              # where the keys are; by default the issuer's metadata says it
//	    jwks: {"keys": […]}              # or the keys themselves, if this server cannot fetch them
//
//	  jwks: {"keys": […]}                # or this: public keys, as a map or as text
//	  jwks_uri: https://…                # or where they are published
//
//	  secret_sha256: [9f86d0…]           # or this: one hash, or two so that one can be replaced
//
// Durations have the units h, m and s. Numbers in require are text too: "4711" also matches
// the number 4711. A claim within an object has a path, as in package token:
// /kubernetes.io/namespace.
//
// # Subjects
//
// A * stands for one or more characters at the end of a subject, after a colon or a slash.
// Elsewhere it would match names that others can register: repo:example* matches
// repo:example-evil/x, which repo:example/* does not. A prefix of one word, such as repo:*,
// is all of GitHub, and system:serviceaccount:* is each pod of a cluster: they need a
// required claim beside them, such as repository_owner_id, that is no registered one.
//
// # What it guarantees
//
//   - Nothing is granted that the entry does not list.
//   - An assertion has exactly one audience, this server or the one that its trust entry
//     names, so that one made for another server cannot be used here. One that is signed by
//     the client itself is at most 60 seconds old, and is accepted once in each process. A
//     process remembers at most 65536 of them for each client and refuses further ones,
//     until they are too old to be used.
//   - A token of this server is never an assertion.
//   - A refusal says the same for every cause, and an unknown client costs as much time as
//     a wrong secret or a wrong signature: every assertion that can be decoded costs one
//     verification. [Refusal] has the reason, for the audit log. Keys that cannot be fetched
//     are no refusal: see [Registry.Authenticate].
//   - The keys decide the algorithm; see package token, which verifies every assertion. A
//     list with a private or symmetric key is refused.
//   - A list replaces another one as a whole. Keys that were fetched and assertions that
//     were used stay known.
//
// It reads no file and no HTTP request, mints nothing, and keeps no secret: only hashes.
package client
