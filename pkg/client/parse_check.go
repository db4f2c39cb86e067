package client

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jwksctl/jwksctl/pkg/remote"
)

// maxID is the longest id, in bytes: it is the sub of each token.
const maxID = 255

// checkID checks a client_id: visible ASCII characters (RFC 6749, appendix A.1, allows
// spaces too, which nobody can see).
func checkID(id string) error {
	if id == "" || len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return fmt.Errorf("want 1 to %d visible ASCII characters", maxID)
	}
	return nil
}

// checkScope checks a scope-token (RFC 6749, section 3.3).
func checkScope(scope string) error {
	if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' || r == '\\' }) {
		return fmt.Errorf("%.80q is not one scope: visible ASCII characters without \" and \\ (RFC 6749, section 3.3)", scope)
	}
	return nil
}

// checkName checks a StringOrURI (RFC 7519, section 2) without spaces and control
// characters.
func checkName(name string) error {
	if name == "" || strings.Contains(name, " ") || strings.ContainsFunc(name, isControl) {
		return fmt.Errorf("%.80q is empty, or has a space or a character that cannot be printed", name)
	}
	if !strings.Contains(name, ":") {
		return nil
	}
	if u, err := url.Parse(name); err != nil || u.Scheme == "" {
		return fmt.Errorf("%.80q contains a colon but is not a URI (RFC 7519, section 2)", name)
	}
	return nil
}

func isControl(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

// checkURL checks an address that keys are fetched from.
func checkURL(address string) error {
	if _, err := remote.New(address, remote.Options{}); err != nil {
		return errors.New("want https://HOST/PATH without a user name; plain http is for servers on this machine")
	}
	return nil
}

// checkHash checks a SHA-256 in hexadecimal. Only one spelling of a hash is accepted, so
// that a list cannot have it twice.
func checkHash(text string) error {
	if len(text) != 64 || strings.Trim(text, "0123456789abcdef") != "" {
		return errors.New("want the SHA-256 of a secret, as 64 lower-case hexadecimal digits: 'jwksctl clients secret' prints it")
	}
	return nil
}

// checkSubject checks a subject, which may end with a wildcard. narrowed tells whether the
// entry requires a claim that tells the subjects apart.
func checkSubject(subject string, narrowed bool) error {
	// A subject need not be a URI: that of GitLab begins with project_path:.
	if subject == "" || strings.TrimSpace(subject) != subject || strings.ContainsFunc(subject, isControl) {
		return fmt.Errorf("%.80q is empty, or has a space before or after it, or a character that cannot be printed", subject)
	}
	prefix, isPrefix := strings.CutSuffix(subject, "*")
	switch {
	case strings.Contains(prefix, "*"):
		return errors.New("only one * is possible, at the end")
	case !isPrefix:
		return nil
	case prefix == "":
		return errors.New("a bare * is too wide: it trusts every token of the issuer")
	case !strings.HasSuffix(prefix, ":") && !strings.HasSuffix(prefix, "/"):
		return fmt.Errorf("put the * after a colon or slash: %s also matches longer names that begin with %s",
			subject, prefix[strings.LastIndexAny(prefix, ":/")+1:])
	case !narrowed && (!strings.ContainsAny(strings.TrimRight(prefix, ":/"), ":/") || prefix == "system:serviceaccount:"):
		return fmt.Errorf("%s is too wide: name more of the subject, or require a further claim, such as the id of its owner", subject)
	}
	return nil
}

// narrows reports whether one of the required claims tells the subjects of an issuer apart.
// The registered claims (RFC 7519, section 4.1) do not.
func narrows(require map[string]string) bool {
	for name := range require {
		switch strings.TrimPrefix(name, "/") {
		case "iss", "aud", "sub", "exp", "iat", "nbf", "jti":
		default:
			return true
		}
	}
	return false
}

// conflicts reports the entries that contradict each other.
func conflicts(clients []Client) []error {
	var problems []error
	byID := map[string]int{}
	for i, c := range clients {
		if c.ID == "" {
			continue
		}
		if first, twice := byID[c.ID]; twice {
			problems = append(problems, fmt.Errorf("%s: id: %s has it too", place(i, c.ID), place(first, "")))
			continue
		}
		byID[c.ID] = i
	}
	for i, c := range clients {
		for _, t := range c.Trust {
			first, ok := byID[t.Issuer]
			if ok && clients[first].hasKeys() {
				problems = append(problems, fmt.Errorf("%s: trust: the issuer %s is also the id of %s, "+
					"so that it is not clear whose assertion a token is: choose another id", place(i, c.ID), t.Issuer, place(first, "")))
			}
		}
	}
	return problems
}

// hasKeys reports whether the client signs its assertions itself.
func (c *Client) hasKeys() bool { return c.JWKS != nil || c.JWKSURI != "" }

func join(names []string) string { return strings.Join(slices.Compact(names), ", ") }
