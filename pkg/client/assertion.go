package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// typClientAuthentication is the typ of a client assertion in the update of RFC 7523, which
// registers it. Older clients write JWT or none.
const typClientAuthentication = "client-authentication+jwt"

// assertion is an assertion whose signature was not verified yet. What it says is used to
// find the client that it may be from.
type assertion struct {
	compact         string
	header          token.Header
	algorithm       jwk.Algorithm
	claims          map[string]any
	issuer, subject string
	now             time.Time
}

// readAssertion decodes an assertion. What it refuses does not depend on the clients.
func readAssertion(compact string, now time.Time) (a assertion, err error) {
	parts, err := token.Split(compact, 0)
	if err != nil {
		return a, err
	}
	a = assertion{compact: compact, now: now}
	if a.header, err = token.ParseHeader(parts.Header); err != nil {
		return a, err
	}
	if a.algorithm, err = a.header.Algorithm(nil); err != nil {
		return a, err
	}
	if a.claims, err = token.ParseClaims(parts.Payload); err != nil {
		return a, err
	}
	a.issuer, _ = a.claims["iss"].(string)
	a.subject, _ = a.claims["sub"].(string)
	if a.issuer == "" || a.subject == "" {
		return a, errors.New("the assertion must have iss and sub, as text")
	}
	// One that is also for another server could be used here by that server.
	audience := a.claims["aud"]
	if several, ok := audience.([]any); ok && len(several) == 1 {
		audience = several[0]
	}
	if one, _ := audience.(string); one == "" {
		return a, errors.New("the assertion must have exactly one aud")
	}
	return a, nil
}

// sender is the client that an assertion may be from, as far as its unverified claims tell.
type sender struct {
	client   *Client // nil if unknown
	method   Method
	verifier token.Verifier
	reason   string // why the assertion is refused whatever its signature is; "" if it is not
}

// checkAssertion verifies exactly one signature for every assertion that can be decoded, so
// that no refusal is quicker than another. If there is no client or no key to verify it with,
// a decoy takes the place.
func (r *Registry) checkAssertion(ctx context.Context, l *list, c Credentials) (*Client, Method, error) {
	a, err := readAssertion(c.Assertion, r.o.Now())
	if err != nil {
		return nil, "", l.refuse(c, PrivateKeyJWT, reasonOf(err))
	}
	from := r.find(l, a, c.ClientID)
	if c.ClientID == "" && from.client != nil {
		c.ClientID = from.client.ID
	}
	keys := &keysOrDecoy{fetch: c.Fetch, source: from.verifier.Keys, decoys: r.decoys, algorithm: a.algorithm, reason: from.reason}
	candidates, err := keys.Keys(ctx, a.header.KeyID)
	if err != nil {
		return nil, "", fmt.Errorf("client %s: %w: %w", from.client.ID, token.ErrKeysUnavailable, err)
	}
	from.verifier.Keys = found(candidates)
	var verdict token.Verdict
	var failed error
	err = c.inTurn(ctx, func() { verdict, failed = from.verifier.Verify(ctx, a.compact) })
	_, refused := errors.AsType[*token.Refusal](failed)
	switch {
	case err != nil:
		return nil, "", err
	case keys.reason != "":
		return nil, "", l.refuse(c, from.method, keys.reason)
	case refused:
		return nil, "", l.refuse(c, from.method, reasonOf(failed))
	case failed != nil:
		return nil, "", fmt.Errorf("client %s: %w", from.client.ID, failed)
	}
	if from.method == PrivateKeyJWT {
		if err := r.useOnce(from, a, verdict); err != nil {
			return nil, "", l.refuse(c, from.method, err.Error())
		}
	}
	return from.client, from.method, nil
}

// found are the keys that a source has returned for the kid of an assertion.
type found []jwk.PublicKey

// Keys returns all of them.
func (f found) Keys(context.Context, string) ([]jwk.PublicKey, error) { return f, nil }

// useOnce remembers that the assertion was used. It reads the clock again: keys may have
// been fetched since the assertion was read, and it must not be older than the memory reaches.
func (r *Registry) useOnce(from sender, a assertion, verdict token.Verdict) error {
	a.now = r.o.Now()
	if reason := firstOf(from.verifier.CheckClaims(a.header, a.claims, a.now)); reason != "" {
		return errors.New(reason)
	}
	id, _ := verdict.Claims["jti"].(string)
	return r.used.use(from.client.ID, id, a.now)
}

// keysOrDecoy is a source of the keys that may have signed an assertion. If none of them
// can have, or if the assertion is refused anyway, it returns decoys instead, and reason says
// why the assertion is refused.
type keysOrDecoy struct {
	fetch     func() (end func(), err error) // Credentials.Fetch
	source    token.KeySource
	decoys    decoys
	algorithm jwk.Algorithm
	reason    string
}

func (k *keysOrDecoy) Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error) {
	if k.reason != "" {
		return k.decoys, nil
	}
	if _, inList := k.source.(remote.Static); !inList && k.fetch != nil {
		end, err := k.fetch()
		if err != nil {
			return nil, err
		}
		defer end()
	}
	keys, err := k.source.Keys(ctx, kid)
	if unusable, ok := errors.AsType[*remote.UnusableError](err); ok {
		k.reason = unusable.Error()
		return k.decoys, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := token.SelectKey(keys, kid, k.algorithm); err != nil {
		k.reason = reasonOf(err)
		return k.decoys, nil
	}
	return keys, nil
}

// find finds the client of an assertion: the one that it names as iss, which signs its
// assertions itself, or one that trusts the issuer and whose entry fits all claims.
func (r *Registry) find(l *list, a assertion, clientID string) sender {
	m := l.byID[cmp.Or(clientID, a.issuer)]
	switch {
	case a.issuer == r.o.Issuer():
		return r.unknown(a, "this server has issued it, and its own tokens are no assertions: have the client use its own credentials")
	case m != nil && m.keys != nil:
		from := sender{client: m.Client, method: PrivateKeyJWT, verifier: r.keyVerifier(a, m.ID)}
		from.verifier.Keys = m.keys
		from.reason = firstOf(checkKeyClaims(from.verifier, a))
		return from
	case m == nil && clientID != "":
		return r.unknown(a, "no client has this id")
	case clientID != "" && len(m.platforms) == 0:
		return r.unknown(a, "the client authenticates with a secret, not with an assertion")
	}
	return r.findPlatform(a, l.byIssuer[a.issuer], clientID)
}

// unknown is the sender of an assertion that no client can have made. The claims are checked
// as if there were such a client, so that the refusal takes as long: a client that signs the
// assertion itself if iss and sub are equal, and otherwise a client that trusts iss.
func (r *Registry) unknown(a assertion, reason string) sender {
	if a.issuer == a.subject {
		v := r.keyVerifier(a, a.issuer)
		_ = checkKeyClaims(v, a)
		return sender{method: PrivateKeyJWT, verifier: v, reason: reason}
	}
	p := &platform{trust: &Trust{Issuer: a.issuer, Subject: a.subject, Audience: r.o.Issuer()}}
	v := p.verifier(r, a)
	_ = v.CheckClaims(a.header, a.claims, a.now)
	return sender{method: PrivateKeyJWT, verifier: v, reason: reason}
}

// keyVerifier verifies the assertions that a client signs (RFC 7523, section 3).
func (r *Registry) keyVerifier(a assertion, id string) token.Verifier {
	v := token.Verifier{
		Issuer: []string{id}, Subject: id, Audience: []string{r.o.Issuer()},
		Require: []token.Requirement{{Claim: "jti"}, {Claim: "iat"}},
		Leeway:  r.o.Leeway, MaxAge: maxAge, Now: func() time.Time { return a.now },
	}
	if r.o.TokenEndpoint != nil {
		v.Audience = append(v.Audience, r.o.TokenEndpoint())
	}
	v.Audience = slices.DeleteFunc(v.Audience, func(name string) bool { return name == "" })
	// The verifier expects JWT or none unless it is told a typ, which must then be present.
	if typ, _ := a.header.Members["typ"].(string); strings.TrimPrefix(strings.ToLower(typ), "application/") == typClientAuthentication {
		v.Types = []string{typClientAuthentication}
	}
	return v
}

func checkKeyClaims(v token.Verifier, a assertion) []*token.Refusal {
	failed := v.CheckClaims(a.header, a.claims, a.now)
	if id, isText := a.claims["jti"].(string); isText && id == "" {
		failed = append(failed, &token.Refusal{Reason: token.ReasonClaimValue, Claim: "jti", Message: "jti is empty"})
	}
	return failed
}

// firstOf is the reason of the first refusal, "" if there is none.
func firstOf(failed []*token.Refusal) string {
	if len(failed) == 0 {
		return ""
	}
	return failed[0].Message
}

// reasonOf is why an assertion is refused. The hint of a refusal is left out: it is for those
// who set up a verifier or get a token from an issuer, and would mislead a reader of the log.
func reasonOf(err error) string {
	if refusal, ok := errors.AsType[*token.Refusal](err); ok {
		return refusal.Message
	}
	return err.Error()
}

// findPlatform finds the one client whose trust entry fits all claims of the assertion, among
// the entries for its issuer. The claims are checked with the entries that have its subject
// only, and once if none has, because a list may have many entries for one issuer.
func (r *Registry) findPlatform(a assertion, platforms []*platform, clientID string) sender {
	trusted := false
	var candidates []*platform
	for _, p := range platforms {
		if clientID != "" && p.client.ID != clientID {
			continue
		}
		trusted = true
		if p.matchesSubject(a.subject) {
			candidates = append(candidates, p)
		}
	}
	switch {
	case !trusted:
		return r.unknown(a, fmt.Sprintf("iss is %.80q, which is not the id of a client with keys, and no client that could be meant trusts it", a.issuer))
	case len(candidates) == 0:
		from := r.unknown(a, fmt.Sprintf("no trust entry fits: sub is %.80q, which no entry for its issuer has", a.subject))
		from.method = Platform
		return from
	}
	return r.choosePlatform(a, candidates)
}

// choosePlatform finds the client among entries for the issuer and the subject of the
// assertion.
func (r *Registry) choosePlatform(a assertion, candidates []*platform) sender {
	var found []*platform
	var nearest []*token.Refusal // of the entry that fits best, for the reason
	for _, p := range candidates {
		failed := p.verifier(r, a).CheckClaims(a.header, a.claims, a.now)
		if len(failed) == 0 {
			found = append(found, p)
		} else if nearest == nil || len(failed) < len(nearest) {
			nearest = failed
		}
	}
	if len(found) == 0 {
		return sender{method: Platform, verifier: candidates[0].verifier(r, a), reason: "no trust entry fits: " + firstOf(nearest)}
	}
	from := sender{client: found[0].client, method: Platform, verifier: found[0].verifier(r, a)}
	for _, p := range found {
		if p.client != from.client {
			from.reason = fmt.Sprintf("the assertion fits several clients, such as %s and %s: have the client send client_id", from.client.ID, p.client.ID)
			from.client = nil
			break
		}
	}
	return from
}

// verifier verifies the tokens that the entry trusts.
func (p *platform) verifier(r *Registry, a assertion) token.Verifier {
	v := token.Verifier{
		Keys: p.keys, Issuer: []string{p.trust.Issuer}, Audience: []string{p.trust.Audience},
		Leeway: r.o.Leeway, Now: func() time.Time { return a.now },
	}
	if !strings.HasSuffix(p.trust.Subject, "*") {
		v.Subject = p.trust.Subject
	}
	if p.trust.Type != "" && !strings.EqualFold(p.trust.Type, "JWT") {
		v.Types = []string{p.trust.Type}
	}
	for name, value := range p.trust.Require {
		v.Require = append(v.Require, token.Requirement{Claim: name, Value: &value})
	}
	return v
}

// matchesSubject reports whether the entry is for this subject.
func (p *platform) matchesSubject(subject string) bool {
	prefix, isPrefix := strings.CutSuffix(p.trust.Subject, "*")
	if isPrefix {
		return len(subject) > len(prefix) && strings.HasPrefix(subject, prefix)
	}
	return subject == prefix
}
