package main

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// longestAssertion is the longest lifetime of an assertion: servers refuse old ones.
const longestAssertion = 5 * time.Minute

type assertionOptions struct {
	flags *pflag.FlagSet
	out   output

	client, aud, typ, key string
	ttl                   durationFlag
}

func (a *app) newAssertion() *cobra.Command {
	var o assertionOptions
	c := &cobra.Command{
		Use:   "assertion",
		Short: "Sign an assertion with which a service authenticates as a client",
		Long: `Sign a client assertion (private_key_jwt, RFC 7523): the token with which a service proves
to an OAuth server who it is. Standard output is the assertion and one newline, nothing
else. It can be used once, and for a minute.

The active key of the keyset signs it, so that the service can rotate its key: the server
has the URL of 'jwksctl serve' as the jwks_uri of the client. With --key another key signs.

iss and sub are the client's id. aud is the issuer of the server, or the URL of its token
endpoint if it demands that.`,
		Example: `  jwksctl assertion --client billing --aud https://tokens.example.com
  jwksctl assertion --client billing --aud https://tokens.example.com --key billing.pem
  curl -s https://tokens.example.com/oauth2/token -d grant_type=client_credentials \
    -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
    -d client_assertion="$(jwksctl assertion --client billing --aud https://tokens.example.com)"`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	o.ttl.d = time.Minute
	f.StringVar(&o.client, "client", "", "the id of the client")
	f.StringVar(&o.aud, "aud", "", "the server: its issuer")
	f.StringVar(&o.typ, "typ", "JWT", "typ of the header; newer servers may want client-authentication+jwt")
	f.StringVar(&o.key, "key", "", "private key that signs: a FILE with PEM or a JWK, or -; default: the active key of the keyset")
	f.Var(&o.ttl, "ttl", "lifetime; at most 5m, and many servers accept no more than 1m")
	_ = c.MarkFlagRequired("client") // the flag exists
	_ = c.MarkFlagRequired("aud")
	complete(c, "typ", "JWT", "client-authentication+jwt")
	outputFlag(c, &o.out, "token")
	o.flags = f
	c.RunE = a.run(func(ctx context.Context, _ []string) error { return a.assertion(ctx, o) })
	return c
}

func (a *app) assertion(ctx context.Context, o assertionOptions) error {
	switch {
	case o.client == "" || o.aud == "":
		return badUsage("--client and --aud must not be empty")
	case o.ttl.d < time.Second || o.ttl.d > longestAssertion:
		return badUsage("--ttl: %s is not between 1s and %s", o.ttl.d, longestAssertion)
	}
	signer, audit, done, err := a.assertionSigner(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	request := token.Request{Issuer: o.client, Subject: o.client, Audience: []string{o.aud}, TTL: o.ttl.d, Type: o.typ, ID: rand.Text()}
	minted, err := token.Mint(ctx, signer, request)
	if err == nil {
		err = audit.tokenMinted(request, minted.KeyID, minted.ExpiresAt, false, "")
	}
	if err != nil {
		return err
	}
	return a.printMinted("assertion", minted, o.out)
}

// assertionSigner is the keyset, and the audit log that records its signatures, or the key
// of --key.
func (a *app) assertionSigner(ctx context.Context, o assertionOptions) (s token.Signer, audit *auditor, done func(), err error) {
	if !o.flags.Changed("key") {
		cfg, err := a.settings(o.flags)
		if err == nil {
			err = a.openAudit(ctx, &cfg, "assertion")
		}
		if err != nil {
			return nil, nil, nil, err
		}
		ring, err := openRingToRead(ctx, cfg)
		if err != nil {
			cfg.audit.close()
			return nil, nil, nil, err
		}
		return ring, cfg.audit, func() { cfg.audit.close(); _ = ring.Close() }, nil // nothing was written to the store
	}
	if o.key == "" {
		return nil, nil, nil, badUsage("--key is empty")
	}
	data, err := a.read(strings.TrimPrefix(o.key, "@"))
	if err != nil {
		return nil, nil, nil, badUsage("--key: %v", err)
	}
	key, err := jwk.ParsePrivate("", data)
	if err != nil {
		return nil, nil, nil, badUsage("--key: %s: %v", o.key, err)
	}
	if other := otherKid(data, key); other != "" {
		a.printMessage("%s the kid is the thumbprint %s, not %s as in the file: the server must know the key by its thumbprint",
			a.paint(a.stderr, yellow, "warning:"), key.KeyID(), printable(other))
	}
	return keySigner{key, a.now}, nil, func() {}, nil
}

// keySigner signs with one key.
type keySigner struct {
	key jwk.PrivateKey
	now func() time.Time
}

// SigningKey returns the key, as token.Signer describes.
func (s keySigner) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	now = s.now()
	return s.key, now, now.Add(longestAssertion), nil
}
