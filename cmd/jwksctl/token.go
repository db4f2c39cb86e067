package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

type tokenOptions struct {
	flags *pflag.FlagSet
	out   output

	iss, sub, scope, jti, typ string
	aud                       []string
	ttl                       durationFlag
	nbf                       string
	claims, jsonClaims        []string
	claimsFile                string
	header                    []string
	expired                   bool
	newKeyset                 bool
	importKey                 string
	fault                     faultOptions
}

func (a *app) newToken() *cobra.Command {
	var o tokenOptions
	c := &cobra.Command{
		Use:   "token",
		Short: "Mint a token without a server",
		Long: `Mint a token from the store; no server has to run. On an empty store it creates the
keys first. Standard output is the token and one newline, nothing else.

With --import-key the first of them is one of yours.

iat, exp and jti are always set; iss is the recorded issuer unless --iss is given.

With --fault the token has one fault, which a verifier must refuse, or is one that it
must accept. The active key signs it: a verifier that accepts exp-missing accepts
that token for as long as the key is published. --gallery signs with separate keys.`,
		Example: `  TOKEN=$(jwksctl token --sub ci --aud api)
  jwksctl token --sub alice --scope "read write" --ttl 5m
  jwksctl token --claim team=blue --claim-json 'roles=["admin"]'
  jwksctl token --claims @claims.json -o json
  jwksctl token --expired                  # signed by an expired key; must be refused
  jwksctl token --fault alg-none --aud api # one fault in an otherwise good token
  jwksctl token --gallery faults           # every fault as a file, with its own keys`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&o.iss, "iss", "", "issuer; default: the recorded one")
	f.StringVar(&o.sub, "sub", "", "subject")
	f.StringArrayVar(&o.aud, "aud", nil, "audience; may be repeated")
	f.StringVar(&o.scope, "scope", "", "scopes, separated by spaces")
	f.Var(&o.ttl, "ttl", "lifetime, such as 5m; default and maximum: the policy's token_ttl")
	f.StringVar(&o.nbf, "nbf", "", "not valid before this time: RFC 3339, Unix seconds, or now+5m")
	f.StringVar(&o.jti, "jti", "", "token id; default: random")
	f.StringVar(&o.typ, "typ", "", "typ of the header (default \"JWT\")")
	f.StringArrayVar(&o.claims, "claim", nil, "further claim k=v with a string value; may be repeated")
	f.StringArrayVar(&o.jsonClaims, "claim-json", nil, "further claim k=JSON; may be repeated")
	f.StringVar(&o.claimsFile, "claims", "", "further claims: a JSON object in @FILE, or @- for standard input")
	f.StringArrayVar(&o.header, "header", nil, "further header member k=v; may be repeated")
	f.BoolVar(&o.expired, "expired", false, "sign with an expired key that is in no JWK Set; exp is an hour ago")
	importKeyFlag(f, &o.importKey)
	o.fault.register(c)
	f.SetNormalizeFunc(longClaimNames)
	config.Flags(f, "audience")
	_ = f.MarkHidden("audience")
	newKeysetFlag(c, &o.newKeyset)
	outputFlag(c, &o.out, "token")
	o.flags = f
	c.RunE = a.run(func(ctx context.Context, _ []string) error { return a.tokenOrFaults(ctx, o) })
	return c
}

// longClaimNames accepts the long names of claims as flags.
func longClaimNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	long := map[string]string{"issuer": "iss", "subject": "sub"}
	if short, ok := long[name]; ok {
		name = short
	}
	return pflag.NormalizedName(name)
}

func (a *app) token(ctx context.Context, o tokenOptions) error {
	request, err := a.tokenRequest(o)
	if err != nil {
		return err
	}
	cfg, err := a.settings(o.flags)
	if err == nil {
		err = a.openAudit(ctx, &cfg, "token")
	}
	if err != nil {
		return err
	}
	defer cfg.audit.close()
	if len(request.Audience) == 0 {
		request.Audience = cfg.Audience
	}
	first := newKeyset{issuer: ownIssuer(cfg.Config), confirmed: o.newKeyset}
	if err := a.importKey(o.flags, o.importKey, cfg.Config, &first); err != nil {
		return err
	}
	attacker, err := a.attackerKey(o)
	if err != nil {
		return err
	}
	first.check = func(p keys.Policy) error {
		return a.checkRequest(o, request, attacker, p, func() (jwk.PrivateKey, error) {
			if !first.key.IsZero() {
				return first.key, nil
			}
			return newKey(p.Algorithm, p.KeySize)
		})
	}
	ring, err := openOrCreateRing(ctx, cfg, first)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // every write was committed by itself
	if err := checkPolicySettings(cfg.Config, ring.Keyset()); err != nil {
		return err
	}
	if !ring.created {
		active := func() (jwk.PrivateKey, error) {
			key, _, _, err := ring.SigningKey(ctx)
			return key, err
		}
		if err := a.checkRequest(o, request, attacker, ring.Policy(), active); err != nil {
			return err
		}
	}
	if !ring.created || o.expired { // a first token must not wait for the specimen unless it needs it
		if err := ring.Step(ctx); err != nil {
			a.printMessage("jwksctl: a step that was due failed: %v", err)
		}
	}
	request.Issuer, request.ID = cmp.Or(request.Issuer, ring.Policy().Issuer), cmp.Or(request.ID, rand.Text())
	if o.fault.name != "" {
		return a.mintFault(ctx, cfg.audit, o, ring, request, attacker)
	}
	return a.mint(ctx, cfg.audit, o, ring, request)
}

// mint makes a token without a fault.
func (a *app) mint(ctx context.Context, audit *auditor, o tokenOptions, ring openedRing, request token.Request) error {
	var signer token.Signer = ring
	if o.expired {
		signer = ring.Specimen(request.TTL)
	}
	minted, err := token.Mint(ctx, signer, request)
	if err != nil {
		return err
	}
	if err := audit.tokenMinted(request, minted.KeyID, minted.ExpiresAt, o.expired, ""); err != nil {
		return err
	}
	return a.printMinted("token", minted, o.out)
}

// printMinted prints a token. name is what JSON calls it.
func (a *app) printMinted(name string, minted token.Token, out output) error {
	if out.json {
		return a.printJSON(map[string]any{
			name: minted.Compact, "kid": minted.KeyID, "alg": minted.Algorithm,
			"exp": minted.ExpiresAt.Unix(), "claims": token.Inspect(minted.Compact).Claims,
		})
	}
	a.print("%s\n", minted.Compact)
	return nil
}

func (a *app) tokenRequest(o tokenOptions) (token.Request, error) {
	r := token.Request{
		Issuer: o.iss, Subject: o.sub, Audience: o.aud, Scope: o.scope, TTL: o.ttl.d, ID: o.jti, Type: o.typ,
		Claims: map[string]any{}, Header: map[string]any{},
	}
	if o.nbf != "" {
		t, err := parseTime(o.nbf, a.now())
		if err != nil {
			return r, badUsage("--nbf: %v", err)
		}
		r.NotBefore = &t
	}
	if err := a.readClaims(o.claimsFile, r.Claims); err != nil {
		return r, badUsage("--claims: %v", err)
	}
	err := errors.Join(
		assign("--claim", o.claims, r.Claims, func(v string) (any, error) { return v, nil }),
		assign("--claim-json", o.jsonClaims, r.Claims, func(v string) (any, error) { return token.ParseValue([]byte(v)) }),
		assign("--header", o.header, r.Header, func(v string) (any, error) { return v, nil }))
	return r, err
}

// readClaims reads the JSON object that --claims names.
func (a *app) readClaims(name string, into map[string]any) error {
	if name == "" {
		return nil
	}
	path, ok := strings.CutPrefix(name, "@")
	if !ok {
		return fmt.Errorf("use @FILE, not %q", name)
	}
	data, err := a.read(path)
	if err != nil {
		return err
	}
	object, err := token.ParseObject(data)
	if err != nil {
		return err
	}
	maps.Copy(into, object)
	return nil
}

// assign puts k=v flags into a map.
func assign(flag string, pairs []string, into map[string]any, value func(string) (any, error)) error {
	for _, pair := range pairs {
		k, text, ok := strings.Cut(pair, "=")
		if !ok || k == "" {
			return badUsage("%s: use name=value, not %q", flag, pair)
		}
		if _, twice := into[k]; twice {
			return badUsage("%s: %q is given twice", flag, k)
		}
		v, err := value(text)
		if err != nil {
			return badUsage("%s %s: %v", flag, k, err)
		}
		into[k] = v
	}
	return nil
}

// durationFlag is a duration with a unit, days included.
type durationFlag struct{ d time.Duration }

func (f *durationFlag) String() string {
	if f.d == 0 {
		return ""
	}
	return f.d.String()
}
func (f *durationFlag) Type() string { return "duration" }

func (f *durationFlag) Set(text string) error {
	d, err := config.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("must not be negative")
	}
	f.d = d
	return err
}
