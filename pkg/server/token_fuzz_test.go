package server

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// FuzzTokenEndpoint sends any request to both routes for tokens: no answer is a 5xx, each
// error has its shape, and a token needs credentials.
func FuzzTokenEndpoint(f *testing.F) {
	srv := newClientServer(f)
	good := form("grant_type", "client_credentials", "client_id", "billing", "client_secret", secret)
	assertion := func(i int, r token.Request) string {
		return form("grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", srv.assertion(f, i, srv.clock.Now(), r))
	}
	for _, seed := range []struct{ query, contentType, authorization, body string }{
		{"", formType, "", good},
		{"", formType, "", good + "&scope=read&resource=https://api.example&audience="},
		{"", formType, "", good + "&scope=root"},
		{"", formType, "", good + "&resource=x&resource=y"},
		{"", formType, "", form("grant_type", "client_credentials", "client_id", "nobody", "client_secret", secret)},
		{"", formType, basic("billing", secret), "grant_type=client_credentials"},
		{"", formType, basic(oddID, oddSecret), "grant_type=client_credentials"},
		{"", formType, basic("two", secret), "grant_type=client_credentials&client_id=two"},
		{"", formType, "Basic !", "grant_type=client_credentials"},
		{"", formType, "Bearer a.b.c", "grant_type=client_credentials"},
		{"", formType, "", assertion(14, token.Request{Issuer: "signer", Subject: "signer", ID: "1"})},
		{"", formType, "", assertion(15, token.Request{Issuer: platform, Subject: "system:pod:7"})},
		{"", formType, "", assertion(13, token.Request{Issuer: "signer", Subject: "signer", ID: "2"})},
		{"", formType, "", "grant_type=client_credentials&client_assertion_type=" + assertionType + "&client_assertion=e30.e30."},
		{"", formType, "", "grant_type=password&username=a&password=b"},
		{"", formType, "", "grant_type=client_credentials&client_id=a&client_id=b"},
		{"", formType + "; charset=latin1", "", good},
		{"", jsonType, "", `{"client_id":"billing","client_secret":"` + secret + `","ttl":60}`},
		{"", jsonType, basic("billing", secret), `{"sub":"root","claims":{"a":[{}]}}`},
		{"expired", formType, basic("two", secret), "resource=https://api.example"},
		{"client_secret=" + secret, "", "", ""},
		{"", "a/b;c", "", "%zz;\x00\xff"},
	} {
		f.Add(seed.query, seed.contentType, seed.authorization, []byte(seed.body))
	}
	n := 0
	f.Fuzz(func(t *testing.T, query, contentType, authorization string, body []byte) {
		for _, path := range []string{tokenEndpoint, authRoute} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
			r.URL.RawQuery = query
			r.TLS = &tls.ConnectionState{}
			n++ // an address of its own, so that the failures before do not hide what is tested
			r.RemoteAddr = fmt.Sprintf("[2001:db8:%x:%x::1]:1", n>>16&0xffff, n&0xffff)
			for name, value := range map[string]string{"Content-Type": contentType, "Authorization": authorization} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			srv.Handler().ServeHTTP(w, r)
			checkAnswer(t, path, w, authorization+string(body))
		}
	})
}

func checkAnswer(t *testing.T, path string, w *httptest.ResponseRecorder, sent string) {
	t.Helper()
	if w.Code >= http.StatusInternalServerError || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: status %d, headers %v: %s", path, w.Code, w.Header(), w.Body)
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%s: status %d: %v: %s", path, w.Code, err, w.Body)
	}
	if w.Code == http.StatusOK {
		if !strings.Contains(strings.ToLower(sent), "basic ") && !strings.Contains(sent, secret) && !strings.Contains(sent, "client_assertion") {
			t.Errorf("%s: a token without credentials: %q", path, sent)
		}
		return
	}
	member := map[string]string{tokenEndpoint: "error", authRoute: "detail"}[path]
	if text, _ := got[member].(string); text == "" {
		t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
	}
}
