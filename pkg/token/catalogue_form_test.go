package token_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// encodingRows are the faults of serialization and encoding.
func encodingRows() []row {
	base := good(jwk.RS256)
	whole := base.String()
	parts := strings.Split(whole, ".")
	flattened := fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
	general := fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2])
	unprotected := fmt.Sprintf(`{"header":{"alg":"RS256"},"payload":%q,"signature":%q}`, parts[1], parts[2])
	polyglot := fmt.Sprintf(`{"x":"a.%s.b","protected":%q,"payload":%q,"signature":%q}`,
		b64([]byte(`{"sub":"mallory"}`)), parts[0], parts[1], parts[2])
	// No alphabet differs for text; a payload with 0xfb bytes would not be JSON, so
	// the signature has to show it.
	std := base64.RawStdEncoding.EncodeToString(base.sign(base.input()))
	if !strings.ContainsAny(std, "+/") {
		panic("the signature happens to need neither + nor /: change the fixture")
	}
	return []row{
		{name: "enc-segments/none", token: "", want: token.ReasonNotCompact},
		{name: "enc-segments/1", token: parts[0], want: token.ReasonNotCompact},
		{name: "enc-segments/2", token: parts[0] + "." + parts[1], want: token.ReasonNotCompact},
		{name: "enc-segments/4", token: whole + "." + parts[2], want: token.ReasonNotCompact},
		{name: "enc-segments/trailing dot", token: whole + ".", want: token.ReasonNotCompact},
		{name: "enc-segments/empty header", token: "." + parts[1] + "." + parts[2], want: token.ReasonNotCompact},
		{name: "enc-segments/bearer", token: "Bearer " + whole, want: token.ReasonEncoding},
		{name: "enc-segments/two tokens", token: whole + "\n" + whole, want: token.ReasonNotCompact},
		{name: "enc-json-jws/flattened", token: flattened, want: token.ReasonJSONForm},
		{name: "enc-json-jws/white space", token: "\n " + general, want: token.ReasonJSONForm},
		{name: "enc-json-jws/general", token: general, want: token.ReasonJSONForm},
		{name: "enc-json-jws/unprotected alg", token: unprotected, want: token.ReasonJSONForm},
		{name: "enc-polyglot", token: polyglot, want: token.ReasonJSONForm},
		{name: "enc-padding/signature", token: whole + "==", want: token.ReasonEncoding},
		{name: "enc-padding/header", token: parts[0] + "=." + parts[1] + "." + parts[2], want: token.ReasonEncoding},
		{name: "enc-std-alphabet", token: base.input() + "." + std, want: token.ReasonEncoding},
		{name: "enc-linebreak/LF inside", token: whole[:len(whole)-9] + "\n" + whole[len(whole)-9:], want: token.ReasonEncoding},
		{name: "enc-linebreak/CR inside", token: whole[:len(whole)-9] + "\r" + whole[len(whole)-9:], want: token.ReasonEncoding},
		{name: "enc-linebreak/after", token: whole + "\r\n", want: token.ReasonEncoding},
		{name: "enc-linebreak/in header", token: parts[0][:4] + "\n" + whole[4:], want: token.ReasonEncoding},
		{name: "enc-linebreak/space", token: whole + " ", want: token.ReasonEncoding},
		{name: "enc-trailing-bits", token: spareBit(whole), want: token.ReasonEncoding},
		{name: "jwe-for-jws", token: jwe(`{"alg":"RSA-OAEP-256","enc":"A256GCM"}`), want: token.ReasonEncrypted},
		{name: "jwe-for-jws/three parts", token: base.head("enc", "A256GCM").String(), want: token.ReasonEncrypted},
		{name: "jwe-p2c", token: jwe(`{"alg":"PBES2-HS256+A128KW","p2c":1300000,"enc":"A128GCM"}`), want: token.ReasonEncrypted},
		{name: "jwe-zip", token: jwe(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`), want: token.ReasonEncrypted},
	}
}

// spareBit sets an unused bit of the last character: 256 bytes leave four.
func spareBit(whole string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := len(whole) - 1
	return whole[:end] + string(alphabet[strings.IndexByte(alphabet, whole[end])|1])
}

func jwe(header string) string {
	return b64([]byte(header)) + ".AAAA.AAAA." + b64([]byte(toJSON(good(jwk.RS256).claims))) + ".AAAA"
}

// jsonRows are the faults of the JSON inside.
func jsonRows() []row {
	base := good(jwk.RS256)
	claims := toJSON(base.claims)
	rows := []row{}
	for name, raw := range map[string]string{
		"enc-bad-utf8/bad byte":          strings.Replace(claims, "alice", "al\xffice", 1),
		"enc-bad-utf8/overlong":          strings.Replace(claims, "alice", "al\xc0\xafice", 1),
		"enc-bad-utf8/BOM":               "\xef\xbb\xbf" + claims,
		"enc-bad-utf8/half surrogate":    strings.Replace(claims, "alice", `al\ud800ice`, 1),
		"enc-bad-utf8/low surrogate":     strings.Replace(claims, "alice", `al\udc00\ud800ice`, 1),
		"payload-not-object/null":        "null",
		"payload-not-object/array":       "[" + claims + "]",
		"payload-not-object/string":      `"claims"`,
		"payload-not-object/number":      "42",
		"payload-not-object/not JSON":    "claims",
		"payload-trailing/object":        claims + "{}",
		"payload-trailing/text":          claims + "x",
		"payload-trailing/zero byte":     claims + "\x00",
		"claims-duplicate":               strings.TrimSuffix(claims, "}") + fmt.Sprintf(`,"exp":%d}`, moment().Unix()-3600),
		"claims-duplicate-rev":           fmt.Sprintf(`{"exp":%d,`, moment().Unix()-3600) + claims[1:],
		"claims-duplicate/escaped":       strings.TrimSuffix(claims, "}") + `,"\u0065xp":1}`,
		"claims-duplicate/nested":        strings.TrimSuffix(claims, "}") + `,"a":[{"b":{"c":1,"c":2}}]}`,
		"payload-broken/control":         strings.Replace(claims, "alice", "al\nice", 1),
		"payload-broken/truncated":       strings.TrimSuffix(claims, "}"),
		"payload-broken/comma":           strings.TrimSuffix(claims, "}") + ",}",
		"payload-broken/leading zero":    strings.TrimSuffix(claims, "}") + `,"n":01}`,
		"payload-broken/bare point":      strings.TrimSuffix(claims, "}") + `,"n":1.}`,
		"payload-broken/bare exponent":   strings.TrimSuffix(claims, "}") + `,"n":1e}`,
		"payload-broken/plus":            strings.TrimSuffix(claims, "}") + `,"n":+1}`,
		"payload-broken/NaN":             strings.TrimSuffix(claims, "}") + `,"n":NaN}`,
		"payload-broken/escape":          strings.Replace(claims, "alice", `al\xice`, 1),
		"payload-broken/short escape":    strings.Replace(claims, "alice", `al\u00`, 1),
		"payload-broken/signed escape":   strings.Replace(claims, "alice", `al\u+041`, 1),
		"payload-broken/final backslash": `{"a":"\`,
		"payload-broken/open array":      `{"a":[1`,
		"payload-broken/no colon":        `{"a" 1}`,
		"payload-broken/name":            `{a:1}`,
		"payload-broken/no value":        `{"a":}`,
		"payload-broken/only a minus":    `{"a":-}`,
		"payload-broken/word":            `{"a":tru}`,
	} {
		draft := base
		draft.rawClaims = raw
		rows = append(rows, row{name: name, token: draft.String(), want: token.ReasonPayload})
	}
	parts := strings.Split(base.String(), ".")
	empty := parts[0] + "."
	return append(rows, row{
		name: "payload-not-object/empty", token: empty + "." + b64(base.sign(empty)), want: token.ReasonPayload,
	})
}

// claimNameRows are the faults of claim names.
func claimNameRows() []row {
	base := good(jwk.RS256)
	past := moment().Unix() - 3600
	escaped := base.claim("exp", nil)
	escaped.rawClaims = fmt.Sprintf(`{"\u0065xp":%d,`, past) + toJSON(escaped.claims)[1:]
	rows := []row{
		{
			name: "claims-case/exp past", token: base.claim("exp", past).claim("EXP", moment().Unix()+60).String(),
			want: token.ReasonExpired, also: []token.Reason{token.ReasonClaimCase},
		},
		{
			name: "claims-case/Exp alone", token: base.claim("exp", nil).claim("Exp", moment().Unix()+60).String(),
			want: token.ReasonClaimMissing, also: []token.Reason{token.ReasonClaimCase},
		},
		{name: "claims-escaped", token: escaped.String(), want: token.ReasonExpired},
	}
	for _, name := range []string{"ISS", "Sub", "AUD", "NBF", "iAt", "JTI", "Scope", "Client_ID", "i\u017fs"} {
		rows = append(rows, row{name: "claims-case/" + name, token: base.claim(name, "x").String(), want: token.ReasonClaimCase})
	}
	return rows
}

// resourceRows are tokens that cost more than a token may.
func resourceRows() []row {
	base := good(jwk.RS256)
	deep := func(levels int) string {
		d := base
		d.rawClaims = strings.TrimSuffix(toJSON(base.claims), "}") +
			`,"a":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + "}"
		return d.String()
	}
	deepHeader := base
	deepHeader.rawHeader = strings.TrimSuffix(toJSON(base.header), "}") +
		`,"a":` + strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 201)
	return []row{
		{name: "res-size", token: base.head("x", strings.Repeat("x", 64<<10)).String(), want: token.ReasonTooLarge},
		{name: "res-size/own limit", token: base.String(), want: token.ReasonTooLarge, with: func(v *token.Verifier) {
			v.MaxSize = len(base.String()) - 1
		}},
		{name: "ok-res-size/own limit", token: base.String(), with: func(v *token.Verifier) {
			v.MaxSize = len(base.String())
		}},
		{name: "res-dots", token: strings.Repeat(".", 10_000), want: token.ReasonNotCompact},
		{name: "res-depth/200", token: deep(200), want: token.ReasonPayload},
		{name: "res-depth/12000", token: deep(12_000), want: token.ReasonPayload},
		{name: "res-depth/header", token: deepHeader.String(), want: token.ReasonHeader},
		{name: "res-depth/65", token: deep(64), want: token.ReasonPayload},
		{name: "ok-res-depth/64", token: deep(63)},
	}
}
