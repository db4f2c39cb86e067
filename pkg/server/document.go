package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// published serves a document that follows from what the ring publishes.
type published struct {
	ring        *keys.Ring
	contentType string
	render      func(*keys.Publication) any
	current     atomic.Pointer[document]
}

// document is a published document with its headers, ready to be written. It is
// shared by all responses and never changed.
type document struct {
	of   *keys.Publication
	body []byte
	etag string

	contentType, contentLength, etagHeader, cacheControl []string
}

// serve answers GET and HEAD. It allocates nothing unless the ring publishes
// something new.
func (p *published) serve(w *response, r *http.Request) error {
	of, err := p.ring.Published()
	if err != nil {
		return err
	}
	d := p.current.Load()
	if d == nil || d.of != of {
		if d, err = p.make(of); err != nil {
			return err
		}
		p.current.Store(d)
	}
	h := w.Header()
	h["Etag"], h["Cache-Control"] = d.etagHeader, d.cacheControl
	if matches(r.Header["If-None-Match"], d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"], h["Content-Length"] = d.contentType, d.contentLength
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(d.body) // whoever asked is gone: nobody is left to tell
	}
	return nil
}

func (p *published) make(of *keys.Publication) (*document, error) {
	body, err := json.Marshal(p.render(of))
	if err != nil {
		return nil, fmt.Errorf("encode the document: %v", err)
	}
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
	return &document{
		of: of, body: body, etag: etag,
		contentType:   []string{p.contentType},
		contentLength: []string{strconv.Itoa(len(body))},
		etagHeader:    []string{etag},
		cacheControl:  []string{fmt.Sprintf("public, max-age=%d, must-revalidate", of.MaxAge/time.Second)},
	}, nil
}

// matches tells whether If-None-Match names the tag (RFC 9110, section 13.1.2).
// The comparison is weak: a proxy that compresses makes our tags weak ones.
func matches(lines []string, etag string) bool {
	for _, line := range lines {
		for {
			line = strings.TrimLeft(line, " \t,")
			if strings.HasPrefix(line, "*") {
				return true
			}
			line = strings.TrimPrefix(line, "W/")
			if line == "" || line[0] != '"' {
				break // the end, or nothing that is a tag
			}
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				break
			}
			if line[:end+2] == etag {
				return true
			}
			line = line[end+2:]
		}
	}
	return false
}

func renderSet(of *keys.Publication) any { return jwk.Set{Keys: of.Keys} }

// metadata is the discovery document: the members that are true of an issuer
// that has no authorization endpoint and no OAuth token endpoint.
type metadata struct {
	Issuer        string          `json:"issuer"`
	JWKSURI       string          `json:"jwks_uri"`
	ResponseTypes []string        `json:"response_types_supported"`
	SubjectTypes  []string        `json:"subject_types_supported"`
	Algorithms    []jwk.Algorithm `json:"id_token_signing_alg_values_supported"`
}

// renderDiscovery reads the keyset after the publication was read: what it finds
// is as new as that or newer, and a newer one comes with a new publication.
func (s *Server) renderDiscovery(of *keys.Publication) any {
	ks := s.o.Ring.Keyset()
	algorithms := []jwk.Algorithm{ks.Active().JWK.Algorithm()}
	for _, key := range of.Keys { // a retired one too: its tokens are still good
		if alg := key.Algorithm(); !slices.Contains(algorithms, alg) {
			algorithms = append(algorithms, alg)
		}
	}
	return metadata{
		Issuer:        ks.Policy.Issuer,
		JWKSURI:       strings.TrimSuffix(ks.Policy.Issuer, "/") + "/.well-known/jwks.json",
		ResponseTypes: []string{"id_token"},
		SubjectTypes:  []string{"public"},
		Algorithms:    algorithms,
	}
}
