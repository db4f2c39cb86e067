package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// The files of a gallery that are not tokens.
const (
	ManifestFile = "manifest.json"
	KeysFile     = "jwks.json"
)

// Gallery is the set of all tokens, with the keys and settings to verify them.
type Gallery struct {
	Manifest Manifest
	Keys     jwk.Set
	Tokens   map[string]string // by file name
}

// Manifest is the settings of the verifier, and the verdicts that it should return.
type Manifest struct {
	Version   int         `json:"version"` // of this format: 1
	Time      time.Time   `json:"time"`    // of the verification
	Issuer    string      `json:"issuer"`
	Audience  []string    `json:"audience"`
	Subject   string      `json:"subject"`
	JWKS      string      `json:"jwks"`   // file name of the keys
	Canary    string      `json:"canary"` // URL that no verifier may call
	Withdrawn []Withdrawn `json:"withdrawn"`
	Cases     []Entry     `json:"cases"`
	LeftOut   []LeftOut   `json:"left_out,omitempty"`
}

// Withdrawn is a key that was removed from the JWK Set.
type Withdrawn struct {
	KeyID string `json:"kid"`
	State string `json:"state"` // expired or revoked
}

// Entry is a case with a token.
type Entry struct {
	File   string `json:"file"`
	Answer string `json:"answer"` // that a verifier should give: reject, accept or either
	Case
}

// LeftOut is a case that could not be made with the given keys.
type LeftOut struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// NewGallery makes every token of the catalogue. It generates the keys that in does not
// have: see [Input.Complete].
func NewGallery(in Input) (Gallery, error) {
	in, err := in.Complete()
	if err != nil {
		return Gallery{}, err
	}
	keys, err := in.published()
	if err != nil {
		return Gallery{}, err
	}
	g := Gallery{Keys: keys, Tokens: map[string]string{}, Manifest: Manifest{
		Version: 1, Time: in.Now.UTC().Truncate(time.Second), JWKS: KeysFile, Canary: in.Canary,
		Issuer: in.Request.Issuer, Audience: in.Request.Audience, Subject: in.Request.Subject,
		Withdrawn: []Withdrawn{
			{in.Expired.KeyID(), "expired"},
			{in.Revoked.KeyID(), "revoked"},
		},
	}}
	for _, c := range Cases() {
		compact, err := c.Make(in)
		if need, ok := errors.AsType[*NeedError](err); ok {
			g.Manifest.LeftOut = append(g.Manifest.LeftOut, LeftOut{c.Name, need.Error()})
			continue
		}
		if err != nil {
			return Gallery{}, fmt.Errorf("make %s: %w", c.Name, err)
		}
		file := strings.ReplaceAll(c.Name, "/", ".") + ".jwt"
		g.Tokens[file] = compact
		g.Manifest.Cases = append(g.Manifest.Cases, Entry{file, c.Verdict.Answer(), c})
	}
	return g, nil
}

// published returns the JWK Set that verifiers trust.
func (in Input) published() (jwk.Set, error) {
	alias, err := withMember(in.Key.Public(), "kid", in.Alias)
	if err != nil {
		return jwk.Set{}, fmt.Errorf("publish the key with another kid: %v", err)
	}
	set := jwk.Set{Keys: []jwk.PublicKey{in.Key.Public(), alias, in.Retired.Public()}}
	for _, key := range in.Others {
		set.Keys = append(set.Keys, key.Public())
	}
	for i, key := range set.Keys {
		if key.Algorithm() != jwk.EdDSA {
			continue
		}
		// Tokens name this algorithm EdDSA or Ed25519. A verifier may compare that with
		// the alg of the key, so the key has none.
		if set.Keys[i], err = withMember(key, "alg", nil); err != nil {
			return jwk.Set{}, fmt.Errorf("publish the key without alg: %v", err)
		}
	}
	return set, nil
}

// withMember returns the key with one member of its JWK changed; nil deletes it.
func withMember(key jwk.PublicKey, name string, value any) (jwk.PublicKey, error) {
	data, err := json.Marshal(key)
	if err != nil {
		return key, err
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		return key, err
	}
	if members[name] = value; value == nil {
		delete(members, name)
	}
	if data, err = json.Marshal(members); err != nil {
		return key, err
	}
	err = key.UnmarshalJSON(data)
	return key, err
}

// Files returns the content of every file of the gallery, by name. No file contains a
// private key.
func (g Gallery) Files() (map[string][]byte, error) {
	files := make(map[string][]byte, len(g.Tokens)+2)
	for name, compact := range g.Tokens {
		files[name] = []byte(compact)
	}
	for name, v := range map[string]any{ManifestFile: g.Manifest, KeysFile: g.Keys} {
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode %s: %v", name, err)
		}
		files[name] = append(data, '\n')
	}
	return files, nil
}
