package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/spelling"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// faultOptions are the flags of token that ask for faulty tokens.
type faultOptions struct {
	name     string
	list     bool
	gallery  string
	attacker string
	canary   string
}

func (o *faultOptions) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.name, "fault", "", "make the token with this fault; see --list-faults")
	f.BoolVar(&o.list, "list-faults", false, "list the faults, and what a verifier should answer to each")
	f.StringVar(&o.gallery, "gallery", "", "write every fault as a file into this new or empty folder, with keys of its own; opens no store")
	f.StringVar(&o.attacker, "attacker-key", "", "private key of the attacker, a JWK or PEM in this file; default: a new one")
	f.StringVar(&o.canary, "canary", "", "URL for faults that have a verifier call one; default: "+fault.DefaultCanary)
	c.MarkFlagsMutuallyExclusive("fault", "list-faults", "gallery", "expired")
	complete(c, "fault", faultNames()...)
}

func faultNames() []string {
	var all []string
	for _, c := range fault.Cases() {
		all = append(all, c.Name)
	}
	return all
}

// tokenOrFaults does what the flags of token ask for. It finds mistakes before it opens a
// store.
func (a *app) tokenOrFaults(ctx context.Context, o tokenOptions) error {
	for _, flag := range []string{"fault", "gallery"} {
		if f := o.flags.Lookup(flag); f.Changed && f.Value.String() == "" {
			return badUsage("--%s is empty", flag) // without this check it would mint a token without a fault
		}
	}
	if o.fault.name == "" && o.fault.gallery == "" && o.fault.attacker+o.fault.canary != "" {
		return badUsage("--attacker-key and --canary go with --fault or --gallery")
	}
	if o.fault.canary != "" && !isURL(o.fault.canary) {
		return badUsage("--canary: %q is not a URL: use https://HOST/PATH", o.fault.canary)
	}
	if _, ok := fault.Find(o.fault.name); !ok && o.fault.name != "" {
		if near := spelling.Nearest(o.fault.name, faultNames()); near != "" {
			return badUsage("unknown fault %q; did you mean %s?", o.fault.name, near)
		}
		return badUsage("unknown fault %q; see jwksctl token --list-faults", o.fault.name)
	}
	switch {
	case o.fault.list:
		return a.listFaults(o)
	case o.fault.gallery != "":
		return a.writeGallery(o)
	default:
		return a.token(ctx, o)
	}
}

func (a *app) listFaults(o tokenOptions) error {
	cases := fault.Cases()
	if o.out.json {
		return a.printJSON(cases)
	}
	var rows [][]string
	for _, c := range cases {
		severity := string(c.Severity)
		if severity == "" {
			severity = "-"
		}
		rows = append(rows, []string{c.Name, string(c.Verdict), string(c.Tier), severity, c.Differs})
	}
	a.table([]string{"NAME", "VERDICT", "TIER", "SEVERITY", "DIFFERS"}, rows)
	return nil
}

// mintFault makes the faulty token that --fault names, with the active key. Everything
// else about the token follows the policy.
func (a *app) mintFault(ctx context.Context, audit *auditor, o tokenOptions, s token.Signer, r token.Request, attacker attackerKey) error {
	key, now, latest, err := s.SigningKey(ctx)
	if err != nil {
		return fmt.Errorf("no key to sign with: %w", err)
	}
	compact, c, err := o.fault.make(fault.Input{Key: key, Now: now, Latest: latest, Request: r}, attacker)
	if err != nil {
		return err
	}
	if err := audit.tokenMinted(r, key.KeyID(), time.Time{}, false, c.Name); err != nil {
		return err
	}
	if o.out.json {
		return a.printJSON(map[string]any{"token": compact, "answer": c.Verdict.Answer(), "fault": c})
	}
	a.print("%s\n", compact)
	return nil
}

// make makes the token that --fault names; tokenOrFaults has checked the name.
func (o faultOptions) make(in fault.Input, attacker attackerKey) (string, fault.Case, error) {
	c, _ := fault.Find(o.name)
	alg := in.Key.Algorithm()
	var err error
	if in.Attacker, err = attacker.forAlgorithm(alg); err != nil {
		return "", c, err
	}
	in.Canary = o.canary
	compact, err := c.Make(in)
	if need, ok := errors.AsType[*fault.NeedError](err); ok {
		return "", c, badUsage("--fault: %v (the active key is for %s); 'jwksctl token --gallery DIR' makes the keys that it needs", need, alg)
	}
	return compact, c, err
}

// attackerKey is the content of the file that --attacker-key names.
type attackerKey struct {
	file string // "" without the flag
	data []byte
}

func (a *app) attackerKey(o tokenOptions) (attackerKey, error) {
	k := attackerKey{file: o.fault.attacker}
	if k.file == "" {
		return k, nil
	}
	var err error
	if k.data, err = a.read(k.file); err != nil {
		return k, badUsage("--attacker-key: %v", err)
	}
	return k, nil
}

// forAlgorithm reads the key. Without the flag it returns the zero key.
func (k attackerKey) forAlgorithm(alg jwk.Algorithm) (jwk.PrivateKey, error) {
	if k.file == "" {
		return jwk.PrivateKey{}, nil
	}
	key, err := jwk.ParsePrivate(alg, k.data)
	if err != nil {
		return key, badUsage("--attacker-key %s: %v", k.file, err)
	}
	return key, nil
}

// writeGallery writes every token of the catalogue. Only the gallery's own JWK Set has
// their keys, so the files are harmless.
func (a *app) writeGallery(o tokenOptions) error {
	dir := o.fault.gallery
	if err := config.CheckPath(dir, a.environ); err != nil {
		return badUsage("--gallery: %v", err)
	}
	switch found, err := os.ReadDir(dir); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return badUsage("--gallery: %v", err)
	case len(found) > 0:
		return badUsage("--gallery: %s is not empty: name a new folder", dir)
	}
	in, err := a.galleryInput(o)
	if err != nil {
		return err
	}
	g, err := fault.NewGallery(in)
	if err != nil {
		return err
	}
	if err := writeFiles(dir, g); err != nil {
		return fmt.Errorf("write the gallery: %v", err)
	}
	a.printMessage("%d tokens: %s says what a verifier should answer to each", len(g.Tokens), fault.ManifestFile)
	if o.out.json {
		return a.printJSON(g.Manifest)
	}
	a.print("%s\n", filepath.Join(dir, fault.ManifestFile))
	return nil
}

// galleryInput collects what a gallery needs from flags and settings. It does not use
// the store, because the private keys of expired and revoked keys are deleted.
func (a *app) galleryInput(o tokenOptions) (fault.Input, error) {
	r, err := a.tokenRequest(o)
	if err != nil {
		return fault.Input{}, err
	}
	cfg, err := a.settings(o.flags)
	if err != nil {
		return fault.Input{}, err
	}
	if r.Issuer == "" {
		r.Issuer = cfg.Issuer
	}
	if len(r.Audience) == 0 {
		r.Audience = cfg.Audience
	}
	attacker, err := a.attackerKey(o)
	if err != nil {
		return fault.Input{}, err
	}
	in := fault.Input{Now: a.now(), Request: r, Canary: o.fault.canary}
	alg, err := jwk.ParseAlgorithm(cfg.Algorithm)
	if err != nil {
		return in, badUsage("algorithm: %v", err)
	}
	if in.Key, err = newKey(alg, cfg.KeySize); err != nil {
		return in, usageError{err}
	}
	in.Attacker, err = attacker.forAlgorithm(alg)
	return in, err
}

// writeFiles writes the manifest last: if it is there, the gallery is complete.
func writeFiles(dir string, g fault.Gallery) error {
	files, err := g.Files()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // it has no secrets
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // nothing was written to it
	manifest := files[fault.ManifestFile]
	delete(files, fault.ManifestFile)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := root.WriteFile(name, files[name], 0o644); err != nil {
			return err
		}
	}
	return root.WriteFile(fault.ManifestFile, manifest, 0o644)
}
