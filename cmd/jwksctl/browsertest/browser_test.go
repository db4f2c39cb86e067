package browsertest

import (
	"fmt"
	"strings"
	"testing"
)

// TestPages shows what pages get of a server that asks nobody who the client is.
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

// TestPagesWithCredentials shows the same for a server with clients, and for pages that
// know the secret of one.
func TestPagesWithCredentials(t *testing.T) {
	b := startBrowser(t)
	issuer, fields := startIssuerWithClient(t)
	port := pages(t)
	for _, path := range []string{auth, "/oauth2/token"} {
		for _, name := range []string{"fetch a form", "beacon", "form in frame"} {
			for _, host := range []string{"page.test", "127.0.0.1"} {
				t.Run(strings.Join([]string{path, name, host}, " "), func(t *testing.T) {
					a := simple()[name]
					a.try(t, b, issuer, "http://"+host+":"+port+"/", "127.0.0.1", path, fields)
				})
			}
		}
		script := `fetch('` + path + `', {method: 'POST', body: new URLSearchParams(` + fields + `)}).then(async r => r.status + ' ' + (await r.json()).token_type)`
		if got := b.run(t, issuer.at("page.test", "/jwks"), script); got != "421 undefined" {
			t.Errorf("%s: a rebound page reads %q", path, got)
		}
		if _, tokens := issuer.counts(t, path); tokens != 0 {
			t.Fatalf("%s: %d tokens were issued", path, tokens)
		}
	}
	for i, path := range []string{auth, "/oauth2/token"} {
		script := `fetch('` + path + `', {method: 'POST', body: new URLSearchParams(` + fields + `)}).then(async r => r.status + ' ' + (await r.json()).token_type)`
		if got := b.run(t, issuer.at("issuer.test", "/jwks"), script); got != "200 Bearer" {
			t.Errorf("%s: a page of the server reads %q", path, got)
		}
		if _, tokens := issuer.counts(t, path); tokens != i+1 {
			t.Errorf("%s: %d tokens were issued", path, tokens)
		}
	}
}

// attack is a way in which a page can post to a URL, TARGET in its script, and send the
// members of an object, FIELDS, as a form.
type attack struct {
	script string
	want   string // what the page learns
}

// try runs the script on a page. The server must get the request and refuse it.
func (a attack) try(t *testing.T, b browser, issuer issuer, page, target, path, fields string) {
	t.Helper()
	before, _ := issuer.counts(t, path)
	script := strings.NewReplacer("TARGET", issuer.at(target, path), "FIELDS", fields).Replace(a.script)
	if got := b.run(t, page, script); got != a.want {
		t.Errorf("the page learns %q, want %q", got, a.want)
	}
	waitFor(t, "the request to be refused", func() bool {
		now, _ := issuer.counts(t, path)
		return now["403"] == before["403"]+1
	})
}

// simple are the ways that need no permission of the server (CORS): the browser sends the
// request, and only the answer is kept from the page.
func simple() map[string]attack {
	submit := func(target string) string {
		return `const form = document.createElement('form')
			form.method = 'POST'; form.action = 'TARGET'; form.target = '` + target + `'
			for (const [name, value] of Object.entries(FIELDS)) {
				const input = document.createElement('input')
				input.name = name; input.value = value
				form.append(input)
			}
			document.body.append(form)
			setTimeout(() => form.submit())`
	}
	const frame = `const frame = document.createElement('iframe'); `
	return map[string]attack{
		"fetch":         {`fetch('TARGET', {method: 'POST'}).then(r => 'read ' + r.status, () => 'blocked')`, "blocked"},
		"fetch a form":  {`fetch('TARGET', {method: 'POST', body: new URLSearchParams(FIELDS)}).then(r => 'read ' + r.status, () => 'blocked')`, "blocked"},
		"no-cors fetch": {`fetch('TARGET', {method: 'POST', mode: 'no-cors', body: 'username=victim'}).then(r => r.type)`, "opaque"},
		"beacon":        {`String(navigator.sendBeacon('TARGET', new URLSearchParams(FIELDS)))`, "true"},
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
					a.try(t, b, issuer, page, target, auth, "{username: 'victim'}")
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
