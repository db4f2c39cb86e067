package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

type verifyOptions struct {
	flags *pflag.FlagSet
	out   output

	jwks, iss string
	aud       []string
	leeway    durationFlag
	at        string
	quiet     bool
}

func (a *app) newVerify() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [TOKEN | @FILE | -]",
		Short: "Check a token; the exit code is the verdict",
		Long: `Check a token against the local store, or against the JWK Set that --jwks names.
The claims are printed only if every check passed. 'jwksctl help exit-codes' lists
what each exit code says.`,
		Example: `  jwksctl verify --aud api "$TOKEN" && echo good
  jwksctl verify -q --aud api @token.txt
  echo "$TOKEN" | jwksctl verify --jwks https://auth.example.com/jwks --iss https://auth.example.com --aud api
  jwksctl verify --aud api --at now+2h "$TOKEN"      # will it still be good then?`,
		Args: cobra.MaximumNArgs(1),
	}
	f := c.Flags()
	f.StringVar(&o.jwks, "jwks", "", "JWK Set to check against: a FILE or a URL")
	f.StringVar(&o.iss, "iss", "", "issuer that the token must name; default: the one the local store records")
	f.StringArrayVar(&o.aud, "aud", nil, "audience that you are; may be repeated, one must match")
	f.Var(&o.leeway, "leeway", "clock difference to allow for exp, nbf and iat (default 0s)")
	f.StringVar(&o.at, "at", "", "judge as of this time: RFC 3339, Unix seconds, or now+30m, -1d")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing about the token; the exit code says it")
	f.SetNormalizeFunc(longClaimNames)
	config.Flags(f, "audience")
	_ = f.MarkHidden("audience")
	outputFlag(c, &o.out, "claims")
	o.flags = f
	c.RunE = a.run(func(ctx context.Context, args []string) error { return a.verify(ctx, o, args) })
	return c
}

func (a *app) verify(ctx context.Context, o verifyOptions, args []string) error {
	compact, err := a.tokenInput(args)
	if err != nil {
		return err
	}
	cfg, err := a.settings(o.flags)
	if err != nil {
		return err
	}
	v := token.Verifier{Issuer: o.iss, Audience: o.aud, Leeway: o.leeway.d}
	if len(v.Audience) == 0 {
		v.Audience = cfg.Audience
	}
	at := a.now()
	if o.at != "" {
		if at, err = parseTime(o.at, at); err != nil {
			return badUsage("--at: %v", err)
		}
	}
	v.Now = func() time.Time { return at }
	if v.Keys, err = a.keySource(ctx, o, cfg, &v.Issuer); err != nil {
		return err
	}
	if err := v.Validate(); err != nil {
		return usageError{err}
	}
	verdict, err := v.Verify(ctx, compact)
	return a.tell(o, verdict, err)
}

// keySource is where the keys come from. It completes the issuer that the token
// must name from what the local store records.
func (a *app) keySource(ctx context.Context, o verifyOptions, cfg config.Config, issuer *string) (token.KeySource, error) {
	if o.jwks == "" {
		ks, err := readKeyset(ctx, cfg)
		if err != nil {
			return nil, err
		}
		if *issuer == "" {
			*issuer = ks.Policy.Issuer
		}
		return localKeys{ks, a.now()}, nil
	}
	if *issuer == "" {
		ks, err := readKeyset(ctx, cfg)
		if err != nil {
			return nil, badUsage("no issuer to expect: name one with --iss (there is no local keyset that records one)")
		}
		*issuer = ks.Policy.Issuer
	}
	if isURL(o.jwks) {
		doc, err := remote.Fetch(ctx, o.jwks, remote.Options{})
		if err != nil {
			return nil, err
		}
		return a.static(doc.Set, doc.Problems), nil
	}
	data, err := a.read(strings.TrimPrefix(o.jwks, "@"))
	if err != nil {
		return nil, badUsage("--jwks: %v", err)
	}
	set, problems, err := jwk.ParseSet(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %v", remote.ErrUnavailable, o.jwks, err)
	}
	return a.static(set, problems), nil
}

// static makes a key source of a set, and tells of the members that it left out.
func (a *app) static(set jwk.Set, problems []jwk.Problem) token.KeySource {
	for _, p := range problems {
		a.say("jwksctl: JWK Set: %s", p)
	}
	return remote.Static(set.Keys)
}

func isURL(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && !strings.ContainsAny(scheme, "/.")
}

// localKeys finds keys in the keyset as it was read.
type localKeys struct {
	ks  keys.Keyset
	now time.Time
}

func (l localKeys) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	return l.ks.Find(kid, l.now)
}

// tell prints a verdict. Whatever the format, a token that is not good gets none
// of its claims printed.
func (a *app) tell(o verifyOptions, verdict token.Verdict, err error) error {
	_, rejected := errors.AsType[*token.Refusal](err)
	switch {
	case err != nil && !rejected:
		return err
	case o.quiet:
	case o.out.json:
		if err := a.printJSON(verdict); err != nil {
			return err
		}
	case err == nil:
		return a.printJSON(verdict.Claims)
	default:
		for _, failed := range verdict.Errors {
			a.say("%s %v", a.paint(a.stderr, red, "rejected:"), failed)
		}
	}
	if err != nil {
		return silentError{err}
	}
	return nil
}
