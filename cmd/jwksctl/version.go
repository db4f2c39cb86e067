package main

import (
	"context"
	"crypto/fips140"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// fips is the mode of FIPS 140-3, off, on or only, and the version of Go's cryptographic
// module.
func fips() (mode, module string) {
	switch {
	case fips140.Enforced():
		mode = "only"
	case fips140.Enabled():
		mode = "on"
	default:
		mode = "off"
	}
	return mode, fips140.Version()
}

// version is what the build recorded: the module's version or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v += "-" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return v
}

func (a *app) newVersion() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version, and whether cryptography is that of FIPS 140-3: off; on, with
GODEBUG=fips140=on or in a binary that was built with GOFIPS140; or only, with
GODEBUG=fips140=only, when whatever is not approved is refused. The module is the version
of Go's cryptographic module: latest is the one of the Go release, which has no certificate.`,
		Example: "  jwksctl version -o json",
		Args:    cobra.NoArgs,
	}
	outputFlag(c, &out, "text")
	c.RunE = a.run(func(context.Context, []string) error {
		mode, module := fips()
		if !out.json {
			a.print("jwksctl %s %s %s/%s\nfips140 %s, module %s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, mode, module)
			return nil
		}
		return a.printJSON(map[string]string{
			"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
			"fips140": mode, "fips140_module": module,
		})
	})
	return c
}
