package remote

import (
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// The rules of Document.Lint.
const (
	RuleHTTP        jwk.Rule = "http"
	RuleContentType jwk.Rule = "content-type"
	RuleCache       jwk.Rule = "cache-headers"
)

// Lint judges how a JWK Set is served: the scheme, the content type and the cache
// headers. jwk.Lint judges the set itself. The clock of the Options that fetched the
// document should stand still, so that FreshUntil follows from the headers alone.
func (d Document) Lint() []jwk.Finding {
	var findings []jwk.Finding
	find := func(s jwk.Severity, r jwk.Rule, format string, args ...any) {
		findings = append(findings, jwk.Finding{Severity: s, Rule: r, Index: -1, Message: fmt.Sprintf(format, args...)})
	}
	if scheme, _, _ := strings.Cut(d.URL, ":"); !strings.EqualFold(scheme, "https") {
		if _, err := parseAddress(d.URL, false); err == nil { // plain http is allowed on loopback only
			find(jwk.SeverityInfo, RuleHTTP, "served by plain http, which is safe on this machine only")
		} else {
			find(jwk.SeverityError, RuleHTTP, "served by plain http: an attacker in the network can replace the keys")
		}
	}
	media, _, err := mime.ParseMediaType(d.ContentType)
	if err != nil || (media != "application/jwk-set+json" && media != "application/json") {
		find(jwk.SeverityWarning, RuleContentType, "content type is %q, not application/jwk-set+json (RFC 7517, section 8.5)", d.ContentType)
	}
	switch fresh := d.FreshUntil.Sub(d.FetchedAt); {
	case d.CacheControl == "" && d.Expires == "":
		find(jwk.SeverityWarning, RuleCache, "neither Cache-Control nor Expires: each verifier decides for itself how long it trusts a withdrawn key")
	case fresh <= time.Second && d.Age == 0:
		find(jwk.SeverityWarning, RuleCache, "must not be cached (%s): verifiers fetch it again and again, and depend on every answer", d.cacheHeader())
	}
	return findings
}

func (d Document) cacheHeader() string {
	if d.CacheControl != "" {
		return strconv.Quote(d.CacheControl)
	}
	return "Expires " + strconv.Quote(d.Expires)
}
