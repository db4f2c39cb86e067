package server

import (
	"net/http"
	"net/url"

	"github.com/jwksctl/jwksctl/pkg/client"
)

// assertionType is the client_assertion_type of a JWT (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const codeInvalidClient = "invalid_client" // of RFC 6749, section 5.2

// credentialFields are the members of a body with which a client authenticates. An empty
// one counts as absent (RFC 6749, section 3.2).
type credentialFields struct {
	clientID, secret, assertion, assertionType string
}

// readCredentials returns the credentials of a request. It refuses a request that uses
// more than one way to authenticate (RFC 6749, section 2.3), because parts of the server
// and of a proxy in front could then disagree about who the client is.
func readCredentials(r *http.Request, in credentialFields) (client.Credentials, error) {
	headers := len(r.Header.Values("Authorization"))
	ways := headers
	for _, given := range []string{in.secret, in.assertion} {
		if given != "" {
			ways++
		}
	}
	switch {
	case headers > 1:
		return client.Credentials{}, badRequest("the request has several Authorization headers: send one")
	case ways > 1:
		return client.Credentials{}, badRequest("the request authenticates in several ways: send either an Authorization header, client_secret or client_assertion")
	case in.assertion == "" && in.assertionType != "":
		return client.Credentials{}, badRequest("client_assertion is missing: client_assertion_type is given")
	case in.assertion != "" && in.assertionType != assertionType:
		return client.Credentials{}, badRequest("client_assertion needs client_assertion_type=%s", assertionType)
	case headers == 1:
		return basicCredentials(r, in.clientID)
	case in.assertion != "":
		return client.Credentials{Method: client.PrivateKeyJWT, ClientID: in.clientID, Assertion: in.assertion}, nil
	case in.secret != "" && in.clientID == "":
		return client.Credentials{}, badRequest("client_id is missing: client_secret is given")
	case in.secret != "":
		return client.Credentials{Method: client.SecretPost, ClientID: in.clientID, Secret: in.secret}, nil
	}
	return client.Credentials{}, invalidClient(r, "the request has no credentials: send HTTP Basic, client_id and client_secret, or client_assertion")
}

// basicCredentials reads HTTP Basic, whose user and password are form-encoded (RFC 6749,
// section 2.3.1). clientID is that of the body.
func basicCredentials(r *http.Request, clientID string) (client.Credentials, error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return client.Credentials{}, invalidClient(r, "the Authorization header is not HTTP Basic: send the client_id and client_secret with that, or a client_assertion in the body")
	}
	id, badID := url.QueryUnescape(user)
	secret, badSecret := url.QueryUnescape(password)
	if badID != nil || badSecret != nil {
		return client.Credentials{}, badRequest("the client_id and client_secret in HTTP Basic must each be form-encoded (RFC 6749, section 2.3.1)")
	}
	if clientID != "" && clientID != id {
		return client.Credentials{}, badRequest("client_id in the body differs from that in the Authorization header")
	}
	return client.Credentials{Method: client.SecretBasic, ClientID: id, Secret: secret}, nil
}

// invalidClient is the answer to a request without valid credentials. The detail must not
// say which of them is wrong.
func invalidClient(r *http.Request, detail string) error {
	return &problem{
		status: http.StatusUnauthorized, code: codeInvalidClient, detail: detail,
		challenge: len(r.Header.Values("Authorization")) > 0,
	}
}
