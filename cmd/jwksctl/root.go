package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// app is what all commands of one run share.
type app struct {
	*process
	configFile string
	started    bool // a command's own code has begun; errors before that are usage errors
	judging    bool // failing means that a token was rejected, so nothing else may look like it
	stdinRead  bool // by one input; there is nothing left for another
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, p *process, args []string) (code int) {
	out := &resultWriter{Writer: p.stdout}
	a := &app{process: p}
	defer func() {
		if fault := recover(); fault != nil {
			p.say("jwksctl: internal fault: %v\n%s", fault, debug.Stack())
			code = exitFault
		}
	}()
	root := a.newRoot()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(out)
	root.SetErr(p.stderr)
	a.stdin, a.stdout = &interruptibleReader{ctx, p.stdin}, out
	isTerminal, width := p.terminal, p.width
	p.terminal = func(stream any) bool { return isTerminal(unwrapped(stream)) }
	p.width = func(stream any) int { return width(unwrapped(stream)) }

	err := root.ExecuteContext(ctx)
	if err != nil && !a.started && out.err == nil {
		err = usageError{err}
	}
	if err == nil && out.err != nil {
		err = fmt.Errorf("the result could not be written: %w", out.err)
	}
	if cause, ok := errors.AsType[interrupted](context.Cause(ctx)); ok && err != nil {
		err = cause
	}
	if _, silent := errors.AsType[silentError](err); err != nil && !silent {
		a.complain(err)
	}
	if a.judging && !rejects(err) && codeOf(err) == exitFailed {
		return exitUnavailable
	}
	return codeOf(err)
}

// unwrapped is the stream as the system made it.
func unwrapped(stream any) any {
	switch s := stream.(type) {
	case *resultWriter:
		return s.Writer
	case *interruptibleReader:
		return s.Reader
	}
	return stream
}

// silentError was already told to the user, or must not be told.
type silentError struct{ error }

func (s silentError) Unwrap() error { return s.error }

// complain prints an error once, one line a problem.
func (a *app) complain(err error) {
	for line := range strings.Lines(err.Error()) {
		a.say("%s %s", a.paint(a.stderr, red, "jwksctl:"), strings.TrimRight(line, "\n"))
	}
	if _, ok := errors.AsType[usageError](err); ok && !a.started {
		a.say("try 'jwksctl --help'")
	}
}

// newRoot builds the command tree.
func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "jwksctl",
		Short: "Own the whole life of JWT signing keys",
		Long: `jwksctl makes JWT signing keys, publishes them as a JWK Set, signs tokens with
them, rotates and revokes them, and verifies tokens.`,
		Example: `  jwksctl serve                            # a JWK Set and tokens on http://127.0.0.1:8080
  TOKEN=$(jwksctl token --sub ci --aud api)
  jwksctl verify --aud api "$TOKEN" && echo good
  jwksctl token --expired                  # what must be refused
  jwksctl keys list`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
		Args:          noCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(help)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("jwksctl {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "settings file (YAML, TOML or JSON)")
	flags.BoolVar(&a.color.off, "no-color", false, "print no colours")
	config.Flags(flags, "store", "seal_key_file")

	root.AddGroup(&cobra.Group{ID: "issue", Title: "Issue:"}, &cobra.Group{ID: "check", Title: "Check:"},
		&cobra.Group{ID: "keys", Title: "Keys:"}, &cobra.Group{ID: "other", Title: "Other:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("issue", a.newServe(), a.newToken())
	add("check", a.newVerify(), a.newInspect(), a.newThumbprint(), a.newHealthcheck())
	add("keys", a.newKeys(), a.newJWKS())
	add("other", a.newConfig(), a.newCompletion(), a.newVersion(), a.newHelp(root))
	root.AddCommand(helpTopics()...)
	return root
}

// run adapts a command's own code: it marks that the command began, so that
// errors from here on are no longer about how it was called.
func (a *app) run(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		a.started = true
		return do(c.Context(), args)
	}
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("%s needs a command: %s", c.CommandPath(), strings.Join(names(c), ", "))
		},
	}
	c.AddCommand(commands...)
	return c
}

func names(c *cobra.Command) []string {
	var out []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			out = append(out, sub.Name())
		}
	}
	return out
}

// noCommand is the Args of a command that only holds others: what is left over
// was meant as a command.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see '" + c.CommandPath() + " --help'"
	if near := config.Nearest(args[0], names(c)); near != "" {
		hint = "did you mean " + near + "?"
	}
	return fmt.Errorf("unknown command %q for %q; %s", args[0], c.CommandPath(), hint)
}

// flagError adds the nearest flag to the complaint about an unknown one.
func flagError(c *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := config.Nearest(unknown.GetSpecifiedName(), known); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return fmt.Errorf("%w; see '%s --help'", err, c.CommandPath())
}

// badUsage is bad input that was found by a command itself.
func badUsage(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}
