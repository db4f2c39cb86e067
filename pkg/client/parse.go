package client

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const (
	maxSecrets = 2 // so that one can be replaced while the other is in use

	// The same limits as those of the setting rate_limit.
	minRate = 0.001
	maxRate = 10000
)

// Parse reads the list of clients, as the decoder of a YAML, TOML or JSON file returns it:
// a list of maps. The package comment describes an entry. The error joins all problems, each
// one line such as
//
//	entry 2 (id billing): trust 1: subject: …
func Parse(entries any) ([]Client, error) {
	list, err := asList(entries)
	if err != nil {
		return nil, err
	}
	var problems []error
	clients := make([]Client, len(list))
	for i, entry := range list {
		members, isMap := entry.(map[string]any)
		if !isMap {
			problems = append(problems, fmt.Errorf("%s: want a map with the members of a client", place(i, "")))
			continue
		}
		id, _ := members["id"].(string)
		clients[i] = newObject(place(i, id), members, &problems).client()
	}
	problems = append(problems, conflicts(clients)...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return clients, nil
}

// place names an entry of the list in messages.
func place(index int, id string) string {
	if checkID(id) != nil {
		return fmt.Sprintf("entry %d", index+1)
	}
	return fmt.Sprintf("entry %d (id %s)", index+1, id)
}

func (o *object) client() Client {
	c := Client{
		ID:            o.required("id", checkID),
		Audiences:     o.texts("audiences", checkName),
		Scopes:        o.texts("scopes", checkScope),
		MaxTTL:        o.maxTTL(),
		Claims:        o.claims(),
		ExpiredTokens: o.bool("expired_tokens"),
		RateLimit:     o.rateLimit(),
	}
	if len(c.Audiences) == 0 {
		o.fail("audiences", "is missing or empty: list the audiences that the client may ask a token for")
	}
	o.checkWays()
	c.Trust = o.trust()
	c.JWKS, c.JWKSURI = o.keys()
	c.SecretSHA256 = o.secrets()
	o.done()
	return c
}

// checkWays reports an entry that has none of the three ways to authenticate, or several.
func (o *object) checkWays() {
	var ways []string
	for _, name := range []string{"trust", "jwks", "jwks_uri", "secret_sha256"} {
		if o.has(name) {
			ways = append(ways, name)
		}
	}
	switch len(ways) {
	case 0:
		o.fail("", "the client cannot authenticate: give one of trust, jwks, jwks_uri and secret_sha256")
	case 1:
	default:
		o.fail("", "has %s: a client authenticates in one way; make an entry for each", strings.Join(ways, " and "))
	}
}

func (o *object) maxTTL() time.Duration {
	text := o.text("max_ttl", func(text string) error {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return errors.New("want a duration with a unit, such as 15m or 24h")
		case d < time.Second || d%time.Second != 0:
			return fmt.Errorf("%s is not a whole number of seconds, from 1s", text)
		}
		return nil
	})
	d, _ := time.ParseDuration(text) // checked; "" gives 0
	return d
}

func (o *object) rateLimit() float64 {
	rate, ok := o.number("rate_limit")
	if ok && rate != 0 && !(minRate <= rate && rate <= maxRate) {
		o.fail("rate_limit", "%v is out of range: give 0 for no limit, or %v to %v", rate, minRate, float64(maxRate))
	}
	return rate
}

// claims takes the further claims of the client's tokens.
func (o *object) claims() map[string]any {
	claims := o.object("claims")
	reserved := map[string]string{
		"client_id": "it is always the id of the client", "sub": "it is always the id of the client",
		"aud": "use audiences", "scope": "use scopes", "exp": "use max_ttl",
		"iss": "the server sets it", "iat": "the server sets it", "nbf": "the server sets it", "jti": "the server sets it",
	}
	usable := true
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if instead, ok := reserved[strings.ToLower(name)]; ok {
			o.fail("claims", "%q: %s", name, instead)
			usable = false
		}
	}
	if losesDigits(claims) {
		o.fail("claims", "a number is too large for JSON readers, which round it: write it in quotes")
	}
	request := token.Request{Claims: claims}
	if err := request.Check(time.Unix(0, 0), time.Hour); err != nil && usable {
		o.fail("", "%v", err)
	}
	return claims
}

// losesDigits reports whether a value has a whole number that a double cannot hold exactly,
// so that the decoder of the file may have rounded it.
func losesDigits(value any) bool {
	switch value := value.(type) {
	case float64:
		return math.Abs(value) > 1<<53
	case []any:
		return slices.ContainsFunc(value, losesDigits)
	case map[string]any:
		for _, member := range value {
			if losesDigits(member) {
				return true
			}
		}
	}
	return false
}

func (o *object) trust() []Trust {
	var all []Trust
	given := o.has("trust")
	list := o.list("trust")
	for i, entry := range list {
		place := fmt.Sprintf("%s: trust %d", o.place, i+1)
		members, isMap := entry.(map[string]any)
		if !isMap {
			*o.problems = append(*o.problems, fmt.Errorf("%s: want a map with issuer, subject and audience", place))
			continue
		}
		all = append(all, newObject(place, members, o.problems).trustEntry())
	}
	if given && len(list) == 0 {
		o.fail("trust", "is empty: list whose tokens are assertions of the client")
	}
	return all
}

func (o *object) trustEntry() Trust {
	t := Trust{
		Issuer:   o.required("issuer", checkName),
		Audience: o.required("audience", checkName),
		Type:     o.text("typ", checkID),
		Require:  o.require(),
	}
	t.Subject = o.required("subject", func(subject string) error { return checkSubject(subject, narrows(t.Require)) })
	if o.has("jwks") && o.has("jwks_uri") {
		o.fail("", "has jwks and jwks_uri: give one of them")
	}
	discovered := !o.has("jwks") && !o.has("jwks_uri")
	t.JWKS, t.JWKSURI = o.keys()
	if t.Type == "" {
		t.Type = "JWT"
	}
	if t.Issuer != "" && discovered {
		if err := checkURL(t.Issuer); err != nil {
			o.fail("issuer", "its metadata cannot be fetched: %v; or say where the keys are, in jwks_uri or jwks", err)
		}
	}
	o.done()
	return t
}

func (o *object) require() map[string]string {
	require := map[string]string{}
	for name, value := range o.object("require") {
		text, isText := value.(string)
		if !isText || name == "" {
			o.fail("require", "%.80q: want the value of a claim as text, in quotes", name)
			continue
		}
		require[name] = text
	}
	return require
}

// keys takes the public keys of a client or of an issuer.
func (o *object) keys() (*jwk.Set, string) {
	uri := o.text("jwks_uri", checkURL)
	value, ok := o.take("jwks")
	if !ok {
		return nil, uri
	}
	set, err := parseSet(value)
	if err != nil {
		o.fail("jwks", "%v", err)
	}
	return set, uri
}

// parseSet reads a JWK Set, which the file has as a map or as text. A set with a private
// or symmetric key, or with one that cannot be used or has a known private key, is refused.
func parseSet(value any) (*jwk.Set, error) {
	text, isText := value.(string)
	data := []byte(text)
	if !isText {
		var err error
		if data, err = json.Marshal(value); err != nil {
			return nil, errors.New("want a JWK Set: {\"keys\": […]}")
		}
	}
	for _, finding := range jwk.Lint(data) {
		switch {
		case finding.Severity != jwk.SeverityError:
		case finding.Index < 0:
			return nil, errors.New(finding.Message)
		default:
			return nil, fmt.Errorf("key %d (kid %.80q): %s", finding.Index, finding.KeyID, finding.Message)
		}
	}
	set, _, err := jwk.ParseSet(data)
	return &set, err
}

func (o *object) secrets() [][32]byte {
	given := o.has("secret_sha256")
	texts := o.texts("secret_sha256", checkHash)
	if given && len(texts) == 0 {
		o.fail("secret_sha256", "has no hash that can be used: 'jwksctl clients secret' makes a secret and its hash")
	}
	if len(texts) > maxSecrets {
		o.fail("secret_sha256", "has %d hashes: %d are enough to replace a secret; remove the old ones", len(texts), maxSecrets)
	}
	var hashes [][32]byte
	for _, text := range texts {
		hash, _ := hex.DecodeString(text) // checkHash has accepted it
		hashes = append(hashes, [32]byte(hash))
	}
	return hashes
}
