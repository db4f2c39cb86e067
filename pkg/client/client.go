package client

import (
	"context"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Client is one entry of the list. Parse makes it; it is not changed afterwards.
type Client struct {
	ID            string
	Audiences     []string
	Scopes        []string
	MaxTTL        time.Duration // 0 is as long as the policy allows
	Claims        map[string]any
	ExpiredTokens bool
	RateLimit     float64 // tokens a second; 0 is no limit

	// Exactly one of these ways is set.
	Trust        []Trust
	JWKS         *jwk.Set
	JWKSURI      string
	SecretSHA256 [][32]byte
}

// Trust says which tokens of a platform are assertions of a client.
type Trust struct {
	Issuer   string
	Subject  string // exact, or a prefix that ends with *
	Audience string
	Type     string            // typ; JWT also matches an absent one
	Require  map[string]string // claims, as in token.Requirement, and their values

	// Where the keys of the issuer are. If neither is set, its metadata says that.
	JWKS    *jwk.Set
	JWKSURI string
}

// Method is how a client authenticates, in the terms of RFC 8414 and OpenID Connect where
// they have one. It is what the audit log says.
type Method string

// The methods.
const (
	SecretBasic   Method = "client_secret_basic"
	SecretPost    Method = "client_secret_post"
	PrivateKeyJWT Method = "private_key_jwt"
	Platform      Method = "platform_token" // an assertion that the client's platform signed
)

// Credentials are what a request for a token authenticates with. Either Secret or Assertion
// is set.
type Credentials struct {
	Method    Method // SecretBasic, SecretPost, or PrivateKeyJWT for every assertion
	ClientID  string // "" if only the assertion says it
	Secret    string
	Assertion string // a compact JWS

	// Fetch is called before keys are obtained that may have to be fetched, and the function
	// that it returns afterwards. Authenticate returns its error. nil bounds nothing.
	Fetch func() (end func(), err error)

	// Turn calls check, which verifies the signature of the assertion, when it may take
	// processor time. It is not held while keys are fetched. If it returns an error, check
	// was not called, and Authenticate returns that error. nil calls check at once.
	Turn func(ctx context.Context, check func()) error
}

// inTurn calls check when it is its turn.
func (c Credentials) inTurn(ctx context.Context, check func()) error {
	if c.Turn == nil {
		check()
		return nil
	}
	return c.Turn(ctx, check)
}

// Refusal says why a client was not authenticated. Only the audit log may have it: the
// client gets the same answer for each reason.
type Refusal struct {
	ClientID string // as the request claims; "" if it does not say, or if what it says may be a secret
	Method   Method // Platform if the assertion is one
	Reason   string // one sentence, without a secret or a token
}

func (r *Refusal) Error() string { return r.Reason }

// Request is what an authenticated client asks for.
type Request struct {
	Audience []string // resource (RFC 8707)
	Scope    string
	TTL      time.Duration // 0 means the longest

	// Longest is the longest lifetime that the policy allows: token_ttl. A max_ttl that is
	// longer has no effect. 0 is unknown; then token.Mint refuses a max_ttl that is longer.
	Longest time.Duration
}

// GrantError says that a client may not have what it asks for.
type GrantError struct {
	Code        string // of RFC 6749, section 5.2, or RFC 8707: invalid_scope, invalid_target, invalid_request
	Description string // for the developer of the client
}

func (e *GrantError) Error() string { return e.Description }
