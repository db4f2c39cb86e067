package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

type verifyOptions struct {
	flags *pflag.FlagSet
	out   output

	key, jwks, discover string
	network             networkFlags

	sub, at                string
	iss, aud, typ, alg     []string
	scope, require         []string
	profile                string
	leeway, minTTL, maxAge durationFlag

	skipIssuer, skipAudience, allowNoExpiry bool

	quiet, batch bool
}

func (a *app) newVerify() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [TOKEN | @FILE | -]",
		Short: "Verify a token; the exit code is the verdict",
		Long: `Verify a token with the keys of the local store, or with those that --jwks, --key or
--discover name. The claims are printed only if every check passed. 'jwksctl help
exit-codes' lists the meaning of each exit code.

With -o json the verdict is one object, also for a token that is refused: valid, the
reason, every check that failed, kid, alg, the source of the keys, the state of the key
if it is in the local store, the seconds left, and the claims of a valid token.

With --batch, standard input has a token on each line and standard output a verdict on
each line, in the same order; empty lines are skipped. A verdict has the columns
LINE, VERDICT ("valid" or the reason), KID and MESSAGE, or with -o json is an object on
one line. The exit code is 0 if every token is valid and 1 if any is not.`,
		Example: `  jwksctl verify --aud api "$TOKEN" && echo good
  echo "$TOKEN" | jwksctl verify --discover https://auth.example.com --aud api
  jwksctl verify --jwks https://auth.example.com/jwks --iss https://auth.example.com --aud api @token.txt
  jwksctl verify --key public.pem --iss https://auth.example.com --aud api --alg RS256 "$TOKEN"
  jwksctl verify --aud api --min-ttl 5m -q "$TOKEN" || refresh     # is it valid for long enough?
  jwksctl verify --aud api --profile at+jwt --scope read --require team=blue "$TOKEN"
  jwksctl verify --aud api --batch -o json < tokens.txt | jq -c 'select(.valid | not)'`,
		Args: cobra.MaximumNArgs(1),
	}
	o.flags = c.Flags()
	o.registerSource(c)
	o.registerChecks(c)
	o.flags.BoolVarP(&o.quiet, "quiet", "q", false, "print nothing about the token; only the exit code tells")
	o.flags.BoolVar(&o.batch, "batch", false, "verify a token on each line of standard input")
	outputFlag(c, &o.out, "claims")
	c.RunE = a.run(func(ctx context.Context, args []string) error {
		if err := refuseEmpty(c); err != nil {
			return err
		}
		return a.verify(ctx, o, args)
	})
	return c
}

func (o *verifyOptions) registerSource(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.jwks, "jwks", "", "JWK Set to verify with: a FILE, a URL, or - for standard input")
	f.StringVar(&o.key, "key", "", "key to verify with: a FILE with PEM or a JWK")
	f.StringVar(&o.discover, "discover", "", "URL of the issuer whose keys to fetch; the token must name it as iss")
	o.network.register(f)
	c.MarkFlagsMutuallyExclusive("jwks", "key", "discover")
}

func (o *verifyOptions) registerChecks(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.iss, "iss", nil, "issuer that the token must name (default the one the local store records); may be repeated, one must match")
	f.StringArrayVar(&o.aud, "aud", nil, "audience that you are; may be repeated, one must match")
	f.StringVar(&o.sub, "sub", "", "subject that the token must name")
	f.StringArrayVar(&o.typ, "typ", nil, "typ that the header must have (default JWT or none); may be repeated, one must match")
	f.StringArrayVar(&o.alg, "alg", nil, "algorithm that is allowed (default what the keys are for); may be repeated")
	f.StringArrayVar(&o.scope, "scope", nil, "scope that the token must have, in scope or scp; may be repeated, or several separated by spaces")
	f.StringArrayVar(&o.require, "require", nil, "CLAIM[=VALUE] that the token must have; within an object, a.b or /a/b; may be repeated")
	f.StringVar(&o.profile, "profile", "", "rules for a kind of token: at+jwt (RFC 9068)")
	f.Var(&o.leeway, "leeway", "clock difference to allow for exp, nbf and iat, 5m at most (default the leeway of the local store, or 30s with other keys)")
	f.Var(&o.minTTL, "min-ttl", "time that must be left until exp")
	f.Var(&o.maxAge, "max-age", "time that may have passed since iat")
	f.StringVar(&o.at, "at", "", "verify as of this time: RFC 3339, Unix seconds, or now+30m, -1d")
	f.BoolVar(&o.skipIssuer, "insecure-skip-iss", false, "accept any iss, or none")
	f.BoolVar(&o.skipAudience, "insecure-skip-aud", false, "accept any aud, or none")
	f.BoolVar(&o.allowNoExpiry, "insecure-allow-no-exp", false, "accept a token that never expires")
	f.SetNormalizeFunc(longClaimNames)
	config.Flags(f, "audience")
	_ = f.MarkHidden("audience")
	c.MarkFlagsMutuallyExclusive("iss", "insecure-skip-iss")
	c.MarkFlagsMutuallyExclusive("aud", "insecure-skip-aud")
	c.MarkFlagsMutuallyExclusive("typ", "profile")
	completeAlgorithms(c, "alg")
	complete(c, "profile", string(token.ProfileAccessToken))
}

// refuseEmpty refuses flags with an empty value. It mostly comes from a shell variable
// that is not set, and then a check would silently be skipped.
func refuseEmpty(c *cobra.Command) (err error) {
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		blank := func(value string) bool { return strings.TrimSpace(value) == "" }
		if _, duration := f.Value.(*durationFlag); f.Changed && !duration && slices.ContainsFunc(values, blank) {
			err = badUsage("--%s: the value is empty", f.Name)
		}
	})
	return err
}

func (a *app) verify(ctx context.Context, o verifyOptions, args []string) error {
	a.judging = true
	cfg, err := a.settings(o.flags)
	if err != nil {
		return err
	}
	v, err := o.checks(cfg.Config, a.now)
	if err != nil {
		return err
	}
	var compact string
	if o.batch {
		err = a.batchInput(args)
	} else {
		compact, err = a.tokenInput(args)
	}
	if err != nil {
		return err
	}
	source, err := a.keySource(ctx, o, cfg)
	if err != nil {
		return err
	}
	v.Keys = source
	if !o.flags.Changed("leeway") {
		v.Leeway = min(source.leeway, token.MaxLeeway)
	}
	if err := o.expectIssuer(ctx, &v, source, cfg); err != nil {
		return err
	}
	if err := v.Validate(); err != nil {
		return usageError{err}
	}
	if o.batch {
		return a.verifyBatch(ctx, o, v, source)
	}
	result, err := source.verify(ctx, v, compact)
	return a.printVerdict(o, source.verdict(result), err)
}

// verify verifies a token with the first key source, and with the alternatives as long
// as the key is the reason to refuse it.
func (s *keySource) verify(ctx context.Context, v token.Verifier, compact string) (token.Verdict, error) {
	result, err := v.Verify(ctx, compact)
	for _, other := range s.alternatives {
		if result.Reason != token.ReasonSignature && result.Reason != token.ReasonAlgUnfit {
			break
		}
		v.Keys = other
		// A key for another algorithm says less than one that cannot verify the signature.
		if next, failed := v.Verify(ctx, compact); next.Reason != token.ReasonAlgUnfit {
			result, err = next, failed
		}
	}
	return result, err
}

// checks makes a verifier from the flags, without the keys and without the issuer that
// the source of the keys may know.
func (o verifyOptions) checks(cfg config.Config, now func() time.Time) (token.Verifier, error) {
	v := token.Verifier{
		Issuer: o.iss, Audience: o.aud, Subject: o.sub, Types: o.typ, Profile: token.Profile(o.profile),
		Scopes: strings.Fields(strings.Join(o.scope, " ")),
		Leeway: o.leeway.d, MinTTL: o.minTTL.d, MaxAge: o.maxAge.d, Now: now,
		InsecureSkipIssuer: o.skipIssuer, InsecureSkipAudience: o.skipAudience, InsecureAllowNoExpiry: o.allowNoExpiry,
	}
	if len(v.Audience) == 0 {
		v.Audience = cfg.Audience
	}
	if o.flags.Changed("max-age") && o.maxAge.d == 0 {
		return v, badUsage("--max-age: must be more than 0s") // 0s would check nothing
	}
	for _, name := range o.alg {
		alg, err := jwk.ParseAlgorithm(name)
		if err != nil {
			return v, badUsage("--alg: %v", err)
		}
		v.Algorithms = append(v.Algorithms, alg)
	}
	for _, text := range o.require {
		claim, value, valued := strings.Cut(text, "=")
		if claim == "" {
			return v, badUsage("--require: use CLAIM or CLAIM=VALUE, not %q", text)
		}
		r := token.Requirement{Claim: claim}
		if valued {
			r.Value = &value
		}
		v.Require = append(v.Require, r)
	}
	if o.at != "" {
		at, err := parseTime(o.at, now())
		if err != nil {
			return v, badUsage("--at: %v", err)
		}
		v.Now = func() time.Time { return at }
	}
	return v, nil
}

// expectIssuer sets the issuer that the token must name if --iss is not given: the one
// whose keys the source has, or else the one that the local store records.
func (o verifyOptions) expectIssuer(ctx context.Context, v *token.Verifier, source keySource, cfg settings) error {
	switch {
	case v.InsecureSkipIssuer:
	case o.discover != "" && len(v.Issuer) > 0 && !slices.Equal(v.Issuer, []string{source.issuer}):
		return badUsage("--iss: %q is not the issuer of --discover; leave it out", v.Issuer)
	case len(v.Issuer) > 0:
	case source.issuer != "":
		v.Issuer = []string{source.issuer}
	case source.Type == "store":
		v.InsecureSkipIssuer = true // there is no keyset, so no claim will be checked
	default:
		ks, err := readKeyset(ctx, cfg)
		if err != nil {
			return badUsage("no issuer to expect: name one with --iss (there is no local keyset that records one)")
		}
		v.Issuer = []string{ks.Policy.Issuer}
	}
	return nil
}

// verdict is what verify prints as JSON.
type verdict struct {
	Line int `json:"line,omitempty"` // of a batch, from 1
	token.Verdict
	Claims   json.RawMessage `json:"claims,omitempty"` // as they were signed
	KeyState keys.State      `json:"key_state,omitempty"`
	Source   *keySource      `json:"source"`
}

// verdict adds what the source knows about the key.
func (s *keySource) verdict(result token.Verdict) verdict {
	v := verdict{Verdict: result, Claims: result.Payload, Source: s}
	if s.state != nil && result.KeyID != "" {
		v.KeyState = s.state(result.KeyID)
	}
	return v
}

// printVerdict prints a verdict. No format prints a claim of a rejected token.
func (a *app) printVerdict(o verifyOptions, v verdict, err error) error {
	_, rejected := errors.AsType[*token.Refusal](err)
	switch {
	case err != nil && !rejected:
		return err
	case o.quiet:
	case o.out.json:
		if failed := a.printJSON(v); failed != nil && !rejected {
			return failed // a rejection keeps its exit code
		}
	case err == nil:
		return a.printJSON(v.Verdict.Claims)
	default:
		for _, refusal := range v.Errors {
			a.printMessage("%s %v", a.paint(a.stderr, red, "rejected:"), refusal)
		}
	}
	if err != nil {
		return silentError{err}
	}
	return nil
}

// rejects tells whether an error is a verdict on a token, or on a batch of them.
func rejects(err error) bool {
	_, one := errors.AsType[*token.Refusal](err)
	_, many := errors.AsType[*batchRejection](err)
	return one || many
}
