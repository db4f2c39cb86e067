package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// secrets returns keys and tokens in the forms in which they are pasted.
func secrets(t *testing.T) map[string]string {
	t.Helper()
	key, err := jwk.Generate(jwk.RS256, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := key.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	compact, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, compact, "", "  "); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"PEM":                string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: append(der, make([]byte, (3-len(der)%3)+1)...)})), // ends with ==
		"DER":                base64.StdEncoding.EncodeToString(der),
		"JWK":                string(compact),
		"pretty JWK":         pretty.String(),
		"token":              mintFor(t, newES256(t), "https://issuer.example", "api"),
		"pretty token":       base64.RawURLEncoding.EncodeToString([]byte("{\n  \"alg\": \"ES256\"\n}")) + ".e30.c2lnbmF0dXJlc2lnbmF0dXJl",
		"sealing key":        "jwksctl-seal-key-1 " + base64.RawURLEncoding.EncodeToString(der[64:96]),
		"client's secret":    secretPrefix + base64.RawURLEncoding.EncodeToString(der[64:96]),
		"token with a label": "Bearer " + mintFor(t, newES256(t), "https://issuer.example", "api"),
	}
}

// leaks returns a part of the secret that the text contains, "" if there is none.
func leaks(text, secret string) string {
	const length = 20
	for _, form := range []string{text, strings.NewReplacer(`\n`, "\n", `\"`, `"`).Replace(text)} {
		for start := 32; start+length <= len(secret); start++ {
			if strings.Contains(form, secret[start:start+length]) {
				return secret[start : start+length]
			}
		}
	}
	return ""
}

// TestSecretsAreNotRepeated gives each command and each flag a key or a token in place of
// the value that it expects.
func TestSecretsAreNotRepeated(t *testing.T) {
	t.Chdir(t.TempDir()) // some values are names of files to make
	p, _, stderr := newProcess(t, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("done")) // so that serve ends
	check := func(name, secret string, args ...string) {
		t.Helper()
		stderr.Reset()
		execute(ctx, p, args)
		if part := leaks(stderr.String(), secret); part != "" {
			t.Errorf("%s as %.40q: stderr has %q", name, args, part)
		}
	}
	var walk func(c *cobra.Command, path []string)
	all := secrets(t)
	walk = func(c *cobra.Command, path []string) {
		for _, sub := range c.Commands() {
			walk(sub, append(slices.Clip(path), sub.Name()))
		}
		if c.Name() != "inspect" {
			check("PEM", all["PEM"], append(slices.Clip(path), all["PEM"])...)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			check("JWK", all["pretty JWK"], append(slices.Clip(path), "--"+f.Name+"="+all["pretty JWK"])...)
		})
	}
	walk((&app{process: p}).newRoot(), nil)
}

// TestSecretsInOtherForms gives a few commands secrets in each form.
func TestSecretsInOtherForms(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, secret := range secrets(t) {
		run := func(setting string, args ...string) {
			p, _, stderr := newProcess(t, "")
			p.environ = append(p.environ, setting)
			execute(t.Context(), p, args)
			if part := leaks(stderr.String(), secret); part != "" {
				t.Errorf("%s as %.40q %.40q: stderr has %q", name, setting, args, part)
			}
		}
		for _, wrapped := range []string{secret, " \n" + secret, `"` + secret + `"`, "'" + secret + "'", "@" + secret, "x=" + secret, "x=@" + secret} {
			for _, args := range [][]string{
				{"thumbprint", wrapped},
				{"keys", "import", wrapped},
				{wrapped},
				{"verify", "--key=" + wrapped, "a.b.c"},
				{"verify", "--jwks", wrapped, "a.b.c"},
				{"token", "--claims", wrapped},
				{"--config", wrapped, "jwks"},
			} {
				run("", args...)
			}
			for _, setting := range []string{"JWKSCTL_CONFIG=", "JWKSCTL_PORT="} {
				run(setting+wrapped, "token")
			}
		}
		for _, args := range [][]string{
			{"verify", "@" + secret},
			{"verify", "--discover", secret, "a.b.c"},
			{"verify", "--at", secret, "a.b.c"},
			{"verify", "-o" + secret},
			{"token", "--ttl", secret},
			{"token", "--claim", secret},
			{"--store", secret, "jwks"},
		} {
			run("", args...)
		}
		for _, setting := range []string{"STORE", "SEAL_KEY", "TLS_CERT", "READY_FILE", "ALGORITHM", "TOKEN_TTL"} {
			run("JWKSCTL_"+setting+"="+secret, "token")
		}
	}
	made, err := os.ReadDir(".")
	if err != nil || len(made) > 0 {
		t.Errorf("%d files were made, %v", len(made), err)
	}
}

// TestMessagesThatAreNoSecrets keeps the messages that only look like one.
func TestMessagesThatAreNoSecrets(t *testing.T) {
	for _, text := range []string{
		"https://eyeglasses-shop.example/jwks is unavailable",
		`open /srv/MICROSERVICE/key.pem: no such file or directory`,
		`not a JWK Set: it has no array "keys"`,
		`a public key was expected, but the JWK has the private member "d"`,
		`seal key env:SEAL: not a sealing key: its line starts with "jwksctl-seal-key-1 "`,
		`the metric jwksctl_http_request_duration_seconds_bucket is a counter`,
		`no key has kid "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"`,
	} {
		if err := withoutSecrets(errors.New(text), []string{"verify", "--key", "MICROSERVICE/key.pem"}, nil); err.Error() != text {
			t.Errorf("%s: became %v", text, err)
		}
	}
}
