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
		Short: "Fetch a JWK Set as a verifier does, and print it",
		Long: `Fetch the JWK Set at a URL by the rules that verify follows: https except on this
machine, a limit on time and size, no redirect to another origin. The set goes to
standard output as it was received, its headers go to standard error; -o json prints
both in one object, with the keys that no verifier can use.`,
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
	FreshUntil time.Time `json:"fresh_until"` // then verifiers fetch it again
	StaleUntil time.Time `json:"stale_until"` // then verifiers that cannot fetch it stop using it
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
		return a.printJSON(newFetchedSet(address, doc))
	}
	for _, p := range doc.Problems {
		a.printMessage("jwksctl: JWK Set: %s", p)
	}
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
	a.printMessage("%s; verifiers fetch it again after %s", countKeys(doc.Set, doc.Problems), roughly(doc.FreshUntil.Sub(doc.FetchedAt)))
	a.print("%s\n", indented(doc.Raw))
	return nil
}

func newFetchedSet(address string, doc remote.Document) fetchedSet {
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

// countKeys says how many keys of a set can be used.
func countKeys(set jwk.Set, problems []jwk.Problem) string {
	return fmt.Sprintf("%d usable keys, %d not", len(set.Keys), len(problems))
}
