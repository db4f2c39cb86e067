package browsertest

import (
	"fmt"
	"strings"
	"testing"
)

// TestPages shows what pages get, and what they do not.
func TestPages(t *testing.T) {
	b, issuer := startBrowser(t), startIssuer(t)
	port := pages(t)
	t.Run("other origins", func(t *testing.T) { otherOriginsGetNoToken(t, b, issuer, port) })
	t.Run("rebound", func(t *testing.T) { reboundPagesGetNoToken(t, b, issuer) })
	t.Run("documents", func(t *testing.T) { everyPageReadsDocuments(t, b, issuer, port) })
	if _, tokens := issuer.counts(t, auth); tokens != 0 {
		t.Errorf("%d tokens were issued", tokens)
	}
	t.Run("own origin", func(t *testing.T) { ownPagesGetTokens(t, b, issuer) })
}

const auth = "/auth"

// attack is a way in which a page can post to a URL, TARGET in its script.
type attack struct {
	script string
	want   string // what the page learns
}

// simple are the ways that need no permission of the server (CORS): the browser sends the
// request, and only the answer is kept from the page.
func simple() map[string]attack {
	submit := func(target string) string {
		return `const form = document.createElement('form')
			form.method = 'POST'; form.action = 'TARGET'; form.target = '` + target + `'
			form.innerHTML = '<input name=username value=victim>'
			document.body.append(form)
			setTimeout(() => form.submit())`
	}
	const frame = `const frame = document.createElement('iframe'); `
	return map[string]attack{
		"fetch":         {`fetch('TARGET', {method: 'POST'}).then(r => 'read ' + r.status, () => 'blocked')`, "blocked"},
		"fetch a form":  {`fetch('TARGET', {method: 'POST', body: new URLSearchParams({username: 'victim'})}).then(r => 'read ' + r.status, () => 'blocked')`, "blocked"},
		"no-cors fetch": {`fetch('TARGET', {method: 'POST', mode: 'no-cors', body: 'username=victim'}).then(r => r.type)`, "opaque"},
		"beacon":        {`String(navigator.sendBeacon('TARGET', new URLSearchParams({username: 'victim'})))`, "true"},
		"form":          {submit("_self") + `; 'sent'`, "sent"},
		"form in frame": {frame + `frame.name = 'sink'; document.body.append(frame); ` + submit("sink") + `; 'sent'`, "sent"},
		"sandbox": {`new Promise(done => {
			onmessage = e => done(e.origin + ' ' + e.data)
			` + frame + `frame.sandbox = 'allow-scripts'
			frame.srcdoc = "<script>fetch('TARGET', {method: 'POST'}).then(r => 'read ' + r.status, () => 'blocked').then(s => parent.postMessage(s, '*'))<" + "/script>"
			document.body.append(frame)
		})`, "null blocked"},
	}
}

// otherOriginsGetNoToken checks that the server refuses what the browser sends for a page
// of another origin.
func otherOriginsGetNoToken(t *testing.T, b browser, issuer issuer, port string) {
	for _, host := range []string{
		"page.test",   // another site
		"127.0.0.1",   // the same site, another port
		"localhost",   // another name of this machine
		"issuer.test", // the site of the issuer, another port
	} {
		page := "http://" + host + ":" + port + "/"
		for name, a := range simple() {
			targets := []string{"127.0.0.1"}
			if name == "fetch" {
				targets = append(targets, "localhost", "issuer.test")
			}
			for _, target := range targets {
				t.Run(strings.Join([]string{host, name, target}, " "), func(t *testing.T) {
					before, _ := issuer.counts(t, auth)
					if got := b.run(t, page, strings.ReplaceAll(a.script, "TARGET", issuer.at(target, auth))); got != a.want {
						t.Errorf("the page learns %q, want %q", got, a.want)
					}
					waitFor(t, "the request to be refused", func() bool {
						now, _ := issuer.counts(t, auth)
						return now["403"] == before["403"]+1
					})
				})
			}
		}
		t.Run(host+" JSON", func(t *testing.T) { // the browser asks first, and does not send it
			script := `fetch('` + issuer.at("127.0.0.1", auth) + `', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'}).then(r => 'read ' + r.status, () => 'blocked')`
			if got := b.run(t, page, script); got != "blocked" {
				t.Errorf("the page learns %q", got)
			}
		})
	}
	if status, _ := issuer.counts(t, auth); len(status) != 1 {
		t.Errorf("answers by status: %v, want only 403", status)
	}
}

// reboundPagesGetNoToken checks the same for a page whose own name resolves to the loopback
// address, so that the browser takes the server for a part of the page's origin (DNS
// rebinding).
func reboundPagesGetNoToken(t *testing.T, b browser, issuer issuer) {
	for _, host := range []string{"page.test", "localhost.page.test", "127.0.0.1.page.test"} {
		for name, script := range map[string]string{
			"fetch": `fetch('/auth', {method: 'POST'}).then(async r => r.status + ' ' + await r.text())`,
			"request": `new Promise(done => {
				const r = new XMLHttpRequest()
				r.onload = () => done(r.status + ' ' + r.responseText)
				r.open('POST', '/auth')
				r.setRequestHeader('Content-Type', 'application/json')
				r.setRequestHeader('X-Forwarded-Host', 'issuer.test')
				r.send('{"username": "victim"}')
			})`,
		} {
			t.Run(host+" "+name, func(t *testing.T) {
				if got := b.run(t, issuer.at(host, "/jwks"), script); !strings.HasPrefix(got, "421 ") || strings.Contains(got, "access_token") {
					t.Errorf("the page reads %s", got)
				}
			})
		}
	}
	// The browser repeats a request that was answered with 421 (RFC 9110, section 15.5.20).
	if status, _ := issuer.counts(t, auth); status["421"] < 6 || len(status) != 2 {
		t.Errorf("answers by status: %v, want only 403 and 421", status)
	}
}

// everyPageReadsDocuments checks that every page can read the public documents, also by a
// request that needs the permission of the server, and nothing else.
func everyPageReadsDocuments(t *testing.T, b browser, issuer issuer, port string) {
	page := "http://page.test:" + port + "/"
	for path, member := range map[string]string{
		"/jwks": "keys", "/.well-known/jwks.json": "keys",
		"/.well-known/openid-configuration": "issuer", "/.well-known/oauth-authorization-server": "issuer",
	} {
		for name, header := range map[string]string{"plain": "", "with headers": "Authorization: 'Bearer x', 'X-Other': 'y'"} {
			t.Run(path+" "+name, func(t *testing.T) {
				script := fmt.Sprintf(`fetch('%s', {headers: {%s}}).then(async r => r.status + ' ' + ('%s' in await r.json()))`, issuer.at("127.0.0.1", path), header, member)
				if got := b.run(t, page, script); got != "200 true" {
					t.Errorf("the page reads %q", got)
				}
			})
		}
	}
	for _, path := range []string{"/metrics", "/readyz"} {
		script := fmt.Sprintf(`fetch('%s').then(r => 'read ' + r.status, () => 'blocked')`, issuer.at("127.0.0.1", path))
		if got := b.run(t, page, script); got != "blocked" {
			t.Errorf("%s: the page learns %q", path, got)
		}
	}
}

// ownPagesGetTokens checks that a page of the server's own origin gets a token, by the names
// of the loopback address and by that of the issuer.
func ownPagesGetTokens(t *testing.T, b browser, issuer issuer) {
	for _, host := range []string{"127.0.0.1", "localhost", "issuer.test"} {
		script := `fetch('/auth', {method: 'POST'}).then(async r => r.status + ' ' + (await r.json()).token_type)`
		if got := b.run(t, issuer.at(host, "/jwks"), script); got != "200 Bearer" {
			t.Errorf("%s: the page reads %q", host, got)
		}
	}
	if _, tokens := issuer.counts(t, auth); tokens != 3 {
		t.Errorf("%d tokens were issued, want 3", tokens)
	}
}
