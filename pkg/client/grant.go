package client

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// typAccessToken is the typ of the tokens (RFC 9068, section 2.1).
const typAccessToken = "at+jwt"

// Grant returns the token that the client gets for a request. Its caller adds iss, and jti
// if it wants a certain one. The error is a *GrantError.
func (c *Client) Grant(r Request) (token.Request, error) {
	request, err := c.grant(r)
	if refused, ok := errors.AsType[*GrantError](err); ok && c.hasKeys() {
		refused.Description += "; sign a new assertion for it, because each is used once"
	}
	return request, err
}

func (c *Client) grant(r Request) (token.Request, error) {
	audience, err := c.audience(r.Audience)
	if err != nil {
		return token.Request{}, err
	}
	scope, err := c.scope(r.Scope)
	if err != nil {
		return token.Request{}, err
	}
	ttl, err := c.ttl(r)
	if err != nil {
		return token.Request{}, err
	}
	claims := map[string]any{}
	maps.Copy(claims, c.Claims)
	claims["client_id"] = c.ID
	return token.Request{
		Subject: c.ID, Audience: []string{audience}, Scope: scope, TTL: ttl, Type: typAccessToken, Claims: claims,
	}, nil
}

func refuseGrant(code, format string, args ...any) error {
	return &GrantError{Code: code, Description: fmt.Sprintf(format, args...)}
}

// audience chooses the one audience of the token. One with several could be used by each
// of them at the others.
func (c *Client) audience(asked []string) (string, error) {
	const code = "invalid_target"
	switch {
	case len(asked) > 1:
		return "", refuseGrant(code, "a token is for one audience: ask for one at a time")
	case len(asked) == 0 && len(c.Audiences) == 1:
		return c.Audiences[0], nil
	case len(asked) == 0:
		return "", refuseGrant(code, "the client has several audiences: name one of them as resource: %s", join(c.Audiences))
	case !slices.Contains(c.Audiences, asked[0]):
		return "", refuseGrant(code, "the client may not ask for this audience: its audiences are %s", join(c.Audiences))
	}
	return asked[0], nil
}

// scope returns the scopes that were asked for, each once, or all if none was.
func (c *Client) scope(asked string) (string, error) {
	const code = "invalid_scope"
	var scopes []string
	for scope := range strings.SplitSeq(asked, " ") {
		switch {
		case scope == "" || slices.Contains(scopes, scope):
		case checkScope(scope) != nil:
			return "", refuseGrant(code, "scope must be visible ASCII characters without quotation marks and backslashes, separated by spaces")
		case len(c.Scopes) == 0:
			return "", refuseGrant(code, "the client has no scopes: leave out scope")
		case !slices.Contains(c.Scopes, scope):
			return "", refuseGrant(code, "the client may not ask for the scope %.80s: its scopes are %s", scope, join(c.Scopes))
		default:
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) == 0 {
		scopes = c.Scopes
	}
	return strings.Join(scopes, " "), nil
}

// ttl returns the lifetime, 0 for the longest that the policy allows.
func (c *Client) ttl(r Request) (time.Duration, error) {
	longest := c.MaxTTL
	if r.Longest > 0 && longest >= r.Longest {
		longest = 0
	}
	switch {
	case r.TTL == 0:
		return longest, nil
	case longest > 0 && r.TTL > longest:
		return 0, refuseGrant("invalid_request", "ttl: %s is longer than the client may ask for: ask for %s at most", r.TTL, longest)
	}
	return r.TTL, nil
}
