package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
)

// Metadata is the part of an issuer's metadata that concerns keys.
type Metadata struct {
	Issuer  string // exactly the issuer that was asked for
	JWKSURL string // jwks_uri, for New or Fetch
	URL     string // where the metadata was found
}

// Discover fetches the metadata of an issuer. It tries the place of OpenID Connect
// Discovery 1.0 section 4, then that of RFC 8414 section 3, which differs for an issuer
// with a path:
//
//	https://HOST/PATH/.well-known/openid-configuration
//	https://HOST/.well-known/oauth-authorization-server/PATH
//
// Options.Timeout limits both requests together. Errors: ErrAddress, ErrUnavailable,
// *IssuerError.
func Discover(ctx context.Context, issuer string, o Options) (Metadata, error) {
	o = o.complete()
	openID, oauth, err := wellKnown(issuer, o.InsecureHTTP)
	if err != nil {
		return Metadata{}, err
	}
	ctx, cancel := o.limit(ctx)
	defer cancel()
	m, err := o.metadata(ctx, openID, issuer)
	if err == nil {
		return m, nil
	}
	m, oauthErr := o.metadata(ctx, oauth, issuer)
	if oauthErr == nil {
		return m, nil
	}
	return Metadata{}, fmt.Errorf("%w; %w", err, oauthErr)
}

// IssuerError says that the metadata names another issuer than the one that was asked for
// (RFC 8414, section 3.3). Some providers publish metadata that is not at the issuer's
// URL. Their keys can be used if the caller names both the issuer and JWKSURL.
type IssuerError struct {
	Asked    string
	Metadata Metadata
}

// Error names both issuers.
func (e *IssuerError) Error() string {
	return fmt.Sprintf("%s is the metadata of the issuer %.200q, not of %q", e.Metadata.URL, e.Metadata.Issuer, e.Asked)
}

// wellKnown returns the two URLs at which the metadata of issuer may be.
func wellKnown(issuer string, insecureHTTP bool) (openID, oauth *url.URL, err error) {
	u, err := parseAddress(issuer, insecureHTTP)
	if err != nil {
		return nil, nil, err
	}
	if strings.ContainsAny(issuer, "?#") {
		return nil, nil, fmt.Errorf("%w: %s: an issuer has no query and no fragment", ErrAddress, display(u))
	}
	if before, document, found := strings.Cut(issuer, "/.well-known/"); found {
		_, path, _ := strings.Cut(document, "/") // RFC 8414 writes the issuer's path at the end
		return nil, nil, fmt.Errorf("%w: %s: this is the URL of metadata; use the issuer, %s", ErrAddress, display(u), strings.TrimSuffix(before+"/"+path, "/"))
	}
	root := u.Scheme + "://" + u.Host
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if openID, err = parseAddress(root+path+"/.well-known/openid-configuration", insecureHTTP); err != nil {
		return nil, nil, err
	}
	oauth, err = parseAddress(root+"/.well-known/oauth-authorization-server"+path, insecureHTTP)
	return openID, oauth, err
}

// metadata fetches and checks one document.
func (o Options) metadata(ctx context.Context, place *url.URL, issuer string) (Metadata, error) {
	r, err := o.get(ctx, place, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return Metadata{}, err
	}
	m, err := parseMetadata(r.body)
	if err != nil {
		return Metadata{}, unavailable(place, err)
	}
	if m.Issuer != issuer {
		m.URL = place.String()
		return Metadata{}, &IssuerError{Asked: issuer, Metadata: m}
	}
	jwks, err := parseAddress(m.JWKSURL, o.InsecureHTTP)
	if err != nil {
		// The address is the issuer's mistake, not the caller's.
		return Metadata{}, unavailable(place, fmt.Errorf("jwks_uri: %v", err))
	}
	if place.Scheme == "https" && jwks.Scheme != "https" && !o.InsecureHTTP {
		return Metadata{}, unavailable(place, errors.New("jwks_uri must be https, as the issuer is"))
	}
	m.URL = place.String()
	return m, nil
}

// parseMetadata reads the two members that matter, and ignores all others.
func parseMetadata(body []byte) (Metadata, error) {
	var found struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &found); err != nil {
		return Metadata{}, fmt.Errorf("the metadata cannot be read: %v", err)
	}
	switch {
	case found.Issuer == "":
		return Metadata{}, errors.New("the metadata has no member issuer")
	case found.JWKSURI == "":
		return Metadata{}, errors.New("the metadata has no member jwks_uri")
	}
	return Metadata{Issuer: found.Issuer, JWKSURL: found.JWKSURI}, nil
}
