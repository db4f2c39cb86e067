package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newCompletion() *cobra.Command {
	c := &cobra.Command{
		Use:   "completion bash | zsh | fish | powershell",
		Short: "Print the completion script of a shell",
		Example: `  source <(jwksctl completion bash)
  jwksctl completion zsh > "${fpath[1]}/_jwksctl"
  jwksctl completion fish > ~/.config/fish/completions/jwksctl.fish
  jwksctl completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		a.started = true
		root := c.Root()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(a.stdout, true)
		case "zsh":
			return root.GenZshCompletion(a.stdout)
		case "fish":
			return root.GenFishCompletion(a.stdout, true)
		default:
			return root.GenPowerShellCompletionWithDesc(a.stdout)
		}
	}
	return c
}

// completeKeys offers the kids of the local keyset. It offers none if the keyset cannot
// be read, because a shell shows no errors of completion.
func (a *app) completeKeys(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	cfg, err := a.settings(c.Flags())
	if err != nil {
		return nil, none
	}
	cfg.log = slog.New(slog.DiscardHandler)
	ks, err := readKeyset(c.Context(), cfg)
	if err != nil {
		return nil, none
	}
	now := a.now()
	var out []string
	for _, k := range ks.Sorted(now) {
		if k.State(now) != keys.Expired {
			out = append(out, cobra.CompletionWithDesc(k.KeyID(), string(k.JWK.Algorithm())+", "+string(k.State(now))))
		}
	}
	return out, none
}

// complete offers the values of a flag.
func complete(c *cobra.Command, flag string, values ...string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeAlgorithms offers the names of the algorithms for a flag.
func completeAlgorithms(c *cobra.Command, flag string) {
	var algs []string
	for _, alg := range jwk.Algorithms() {
		algs = append(algs, string(alg))
	}
	complete(c, flag, algs...)
}
