package server

import (
	"slices"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// metadata is the discovery document of an issuer without an authorization endpoint. A
// member without elements is left out (RFC 8414, section 3.2).
type metadata struct {
	Issuer        string          `json:"issuer"`
	JWKSURI       string          `json:"jwks_uri"`
	ResponseTypes []string        `json:"response_types_supported"`
	SubjectTypes  []string        `json:"subject_types_supported"`
	Algorithms    []jwk.Algorithm `json:"id_token_signing_alg_values_supported"`

	// With clients only.
	TokenEndpoint  string          `json:"token_endpoint,omitempty"`
	GrantTypes     []string        `json:"grant_types_supported,omitempty"`
	AuthMethods    []string        `json:"token_endpoint_auth_methods_supported,omitempty"`
	AuthAlgorithms []jwk.Algorithm `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
}

// renderDiscovery reads the keyset after the publication p was read, so the keyset is
// as new as p or newer; if it is newer, a new publication follows and is rendered again.
func (s *Server) renderDiscovery(p *keys.Publication) any {
	ks := s.o.Ring.Keyset()
	algorithms := []jwk.Algorithm{ks.Active().JWK.Algorithm()}
	for _, key := range p.Keys { // of retired keys too: their tokens are still valid
		if alg := key.Algorithm(); !slices.Contains(algorithms, alg) {
			algorithms = append(algorithms, alg)
		}
	}
	base := strings.TrimSuffix(ks.Policy.Issuer, "/")
	m := metadata{
		Issuer:        ks.Policy.Issuer,
		JWKSURI:       base + "/.well-known/jwks.json",
		ResponseTypes: []string{"id_token"},
		SubjectTypes:  []string{"public"},
		Algorithms:    algorithms,
	}
	if clients := s.o.Clients; clients != nil {
		m.TokenEndpoint = base + tokenEndpoint
		m.GrantTypes = []string{clientCredentials}
		m.AuthMethods = clients.AuthMethods()
		if slices.Contains(m.AuthMethods, string(client.PrivateKeyJWT)) { // asked once: the list may be replaced meanwhile
			m.AuthAlgorithms = jwk.Algorithms() // the key of a client decides which of them it may use
		}
	}
	return m
}
