package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// The names of the two files of a gallery that are no tokens.
const (
	ManifestFile = "manifest.json"
	KeysFile     = "jwks.json"
)

// Gallery is the whole set of tokens with all that is needed to judge them.
type Gallery struct {
	Manifest Manifest
	Keys     jwk.Set
	Tokens   map[string]string // by the name of their file
}

// Manifest says what a verifier must know, and what it should answer.
type Manifest struct {
	Version   int         `json:"version"` // of this shape: 1
	Time      time.Time   `json:"time"`    // at which the verdicts hold
	Issuer    string      `json:"issuer"`
	Audience  []string    `json:"audience"`
	Subject   string      `json:"subject"`
	JWKS      string      `json:"jwks"`   // the file with the keys
	Canary    string      `json:"canary"` // no verifier may call it
	Withdrawn []Withdrawn `json:"withdrawn"`
	Cases     []Entry     `json:"cases"`
	LeftOut   []LeftOut   `json:"left_out,omitempty"`
}

// Withdrawn is a key that was once in the JWK Set.
type Withdrawn struct {
	KeyID string `json:"kid"`
	State string `json:"state"` // expired or revoked
}

// Entry is a case that has a file.
type Entry struct {
	File   string `json:"file"`
	Answer string `json:"answer"` // of a good verifier: reject, accept or either
	Case
}

// LeftOut is a case that could not be made of the keys that were given.
type LeftOut struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// NewGallery makes every token of the catalogue. What in leaves open is completed
// with scratch keys: see [Input.Complete].
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

// published returns the keys that verifiers trust.
func (in Input) published() (jwk.Set, error) {
	alias, err := withMember(in.Key.Public(), "kid", in.Alias)
	if err != nil {
		return jwk.Set{}, fmt.Errorf("publish the key under another kid: %v", err)
	}
	set := jwk.Set{Keys: []jwk.PublicKey{in.Key.Public(), alias, in.Retired.Public()}}
	for _, key := range in.Others {
		set.Keys = append(set.Keys, key.Public())
	}
	for i, key := range set.Keys {
		if key.Algorithm() != jwk.EdDSA {
			continue
		}
		// Its algorithm has two names, and a verifier may hold tokens to the one that
		// the key has: it has none.
		if set.Keys[i], err = withMember(key, "alg", nil); err != nil {
			return jwk.Set{}, fmt.Errorf("publish the key without alg: %v", err)
		}
	}
	return set, nil
}

// withMember returns the same key with one member changed; nil deletes it.
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

// Files returns the content of every file of the gallery, by name. There are no
// private keys among them.
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
