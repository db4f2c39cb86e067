package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
)

type jwksFetchOptions struct {
	out     output
	network networkFlags
}

func (a *app) newJWKSFetch() *cobra.Command {
	var o jwksFetchOptions
	c := &cobra.Command{
		Use:   "fetch URL",
		Short: "Print somebody's JWK Set, as a verifier gets it",
		Long: `Ask for the JWK Set at a URL by the rules that verify follows: https beyond this
machine, a limit on time and size, no redirect to another origin. The set goes to
standard output as it was received, what its headers say to standard error; -o json
has both in one object, and the members that no verifier can use.`,
		Example: `  jwksctl jwks fetch https://auth.example.com/jwks
  jwksctl jwks fetch https://auth.example.com/jwks > jwks.json
  jwksctl jwks fetch https://auth.internal/jwks --ca-file ca.pem -o json | jq .headers`,
		Args: cobra.ExactArgs(1),
	}
	o.network.register(c.Flags())
	outputFlag(c, &o.out, "jwks")
	c.RunE = a.run(func(ctx context.Context, args []string) error { return a.jwksFetch(ctx, o, args[0]) })
	return c
}

// fetchedSet is what -o json prints.
type fetchedSet struct {
	URL      string          `json:"url"`
	Set      json.RawMessage `json:"jwks"` // as received
	Problems []memberProblem `json:"problems"`
	Headers  struct {
		ContentType  string `json:"content_type,omitempty"`
		CacheControl string `json:"cache_control,omitempty"`
		Expires      string `json:"expires,omitempty"`
		ETag         string `json:"etag,omitempty"`
		LastModified string `json:"last_modified,omitempty"`
		Age          int64  `json:"age"` // seconds
	} `json:"headers"`
	FetchedAt  time.Time `json:"fetched_at"`
	FreshUntil time.Time `json:"fresh_until"` // verifiers ask again then
	StaleUntil time.Time `json:"stale_until"` // verifiers that cannot ask stop using it then
}

type memberProblem struct {
	Index   int    `json:"index"`
	KeyID   string `json:"kid,omitempty"`
	Message string `json:"message"`
}

func (a *app) jwksFetch(ctx context.Context, o jwksFetchOptions, address string) error {
	network, err := o.network.options()
	if err != nil {
		return err
	}
	doc, err := remote.Fetch(ctx, address, network)
	if err != nil {
		return err
	}
	if o.out.json {
		return a.printJSON(describe(address, doc))
	}
	a.tellProblems(doc.Problems)
	for _, header := range []struct{ name, value string }{
		{"content-type", doc.ContentType},
		{"cache-control", doc.CacheControl},
		{"expires", doc.Expires},
		{"etag", doc.ETag},
		{"last-modified", doc.LastModified},
	} {
		if header.value != "" {
			a.printMessage("%s: %s", header.name, printable(header.value))
		}
	}
	a.printMessage("%s; verifiers ask again after %s", members(doc.Set, doc.Problems), roughly(doc.FreshUntil.Sub(doc.FetchedAt)))
	a.print("%s\n", indented(doc.Raw))
	return nil
}

func describe(address string, doc remote.Document) fetchedSet {
	f := fetchedSet{
		URL: withoutQuery(address), Set: doc.Raw, Problems: []memberProblem{},
		FetchedAt: doc.FetchedAt, FreshUntil: doc.FreshUntil, StaleUntil: doc.StaleUntil,
	}
	for _, p := range doc.Problems {
		f.Problems = append(f.Problems, memberProblem{p.Index, p.KeyID, p.Err.Error()})
	}
	f.Headers.ContentType, f.Headers.CacheControl = doc.ContentType, doc.CacheControl
	f.Headers.Expires, f.Headers.ETag, f.Headers.LastModified = doc.Expires, doc.ETag, doc.LastModified
	f.Headers.Age = int64(doc.Age / time.Second)
	return f
}

// members counts the members of a set.
func members(set jwk.Set, problems []jwk.Problem) string {
	return fmt.Sprintf("%d usable keys, %d not", len(set.Keys), len(problems))
}
