package main

import (
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// stepFlags are the flags that keys rotate and keys revoke share.
type stepFlags struct {
	out    output
	reason string
	force  bool
	dryRun bool
}

func (o *stepFlags) register(f *pflag.FlagSet) {
	f.StringVar(&o.reason, "reason", "", "why; recorded with the key")
	f.BoolVar(&o.force, "force", false, "do it even if some verifiers will not find the new key yet")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would happen and change nothing")
}

func (o *stepFlags) request() keys.StepRequest {
	return keys.StepRequest{Reason: o.reason, Force: o.force}
}
