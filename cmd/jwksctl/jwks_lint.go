package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
)

type jwksLintOptions struct {
	out     output
	network networkFlags
}

func (a *app) newJWKSLint() *cobra.Command {
	var o jwksLintOptions
	c := &cobra.Command{
		Use:   "lint FILE | URL | -",
		Short: "Find mistakes in a JWK Set",
		Long: `Look in a JWK Set for leaked private keys, shared secrets, short RSA keys, missing and
duplicate kids, missing alg and use, and keys that no verifier can use. If it is at a URL,
its headers are checked too: caching, content type, plain http.

The columns are SEVERITY, RULE, KEY (its place in the set, from 0), KID and MESSAGE. The
exit code is 1 if anything of severity error or warning was found; info is harmless.`,
		Example: `  jwksctl jwks lint https://auth.example.com/jwks
  jwksctl jwks lint jwks.json -o json | jq -r '.[].rule'
  jwksctl jwks | jwksctl jwks lint -`,
		Args: cobra.ExactArgs(1),
	}
	o.network.register(c.Flags())
	outputFlag(c, &o.out, "table")
	c.RunE = a.run(func(ctx context.Context, args []string) error { return a.jwksLint(ctx, o, args[0]) })
	return c
}

func (a *app) jwksLint(ctx context.Context, o jwksLintOptions, name string) error {
	findings, err := a.lint(ctx, o.network, name)
	if err != nil {
		return err
	}
	if o.out.json {
		if findings == nil {
			findings = []jwk.Finding{}
		}
		if err := a.printJSON(findings); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, f := range findings {
			place, kid := "-", "-"
			if f.Index >= 0 {
				place = strconv.Itoa(f.Index)
			}
			if f.KeyID != "" {
				kid = printable(f.KeyID)
			}
			rows = append(rows, []string{string(f.Severity), string(f.Rule), place, kid, printable(f.Message)})
		}
		if len(rows) > 0 {
			a.table([]string{"SEVERITY", "RULE", "KEY", "KID", "MESSAGE"}, rows)
		}
	}
	return lintError(findings)
}

// lintError is nil if there is no error and no warning.
func lintError(findings []jwk.Finding) error {
	count := map[jwk.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
	}
	if count[jwk.SeverityError]+count[jwk.SeverityWarning] == 0 {
		return nil
	}
	return fmt.Errorf("found: %d of severity error, %d of severity warning", count[jwk.SeverityError], count[jwk.SeverityWarning])
}

func (a *app) lint(ctx context.Context, flags networkFlags, name string) ([]jwk.Finding, error) {
	if err := flags.checkHeaders(name); err != nil {
		return nil, err
	}
	if !isURL(name) {
		data, err := a.read(strings.TrimPrefix(name, "@"))
		if err != nil {
			return nil, usageError{err}
		}
		return jwk.Lint(data), nil
	}
	network, err := flags.options()
	if err != nil {
		return nil, err
	}
	// If the clock stands still, the freshness follows from the headers alone.
	now := a.now()
	network.Now = func() time.Time { return now }
	doc, err := remote.Fetch(ctx, name, network)
	if err != nil {
		return nil, err
	}
	return append(jwk.Lint(doc.Raw), doc.Lint()...), nil
}
