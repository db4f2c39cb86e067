package main

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// auditor writes the lines of one command into the audit log. A nil auditor writes none,
// because the settings name no log.
type auditor struct {
	log     *audit.Log
	isFile  bool
	command string // such as "keys revoke"
	user    string // who runs the command
	reason  string // why, if the user says it
	now     func() time.Time
	report  *slog.Logger
}

// withAudit is withSettings for a command that signs or changes something. If the audit log
// is required and cannot be opened, nothing is done.
func (a *app) withAudit(c *cobra.Command, do func(ctx context.Context, cfg settings, args []string) error) *cobra.Command {
	return a.withSettings(c, func(ctx context.Context, cfg settings, args []string) error {
		if err := a.openAudit(ctx, &cfg, commandName(c)); err != nil {
			return err
		}
		defer cfg.audit.close()
		return do(ctx, cfg, args)
	})
}

// commandName is what users type after jwksctl.
func commandName(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

// openAudit opens the audit log that the settings name, for a command. If it cannot be
// opened, cfg.audit is set too, and each line tries again. That is an error if the log is
// required.
func (a *app) openAudit(ctx context.Context, cfg *settings, command string) error {
	if cfg.AuditLog == "" {
		return nil
	}
	log, err := audit.New(a.stderr), error(nil)
	isFile := cfg.AuditLog != config.AuditStderr
	if isFile {
		log, err = audit.Open(cfg.AuditLog)
	}
	log.Optional, log.Logger = !cfg.RequiresAudit(), cfg.log
	cfg.audit = &auditor{log: log, isFile: isFile, command: command, user: a.user, now: a.now, report: cfg.log}
	switch {
	case err == nil:
		return nil
	case log.Required():
		return badUsage("audit_log: %v", err)
	}
	cfg.log.WarnContext(ctx, "the audit log cannot be opened", "error", err.Error())
	return nil
}

// because sets why the user asks for a step.
func (c *auditor) because(reason string) {
	if c != nil {
		c.reason = reason
	}
}

// serverLog is the log of a server, nil if there is none.
func (c *auditor) serverLog() *audit.Log {
	if c == nil {
		return nil
	}
	return c.log
}

// record writes a line before something is done. The error says that it must not be done.
func (c *auditor) record(e audit.Event) error {
	if c == nil {
		return nil
	}
	e.Time, e.Command, e.User = c.now(), c.command, c.user
	return c.log.Write(e)
}

// recordDone writes a line of what is done already. If the line is missing, the ordinary
// log says so.
func (c *auditor) recordDone(e audit.Event) {
	if err := c.record(e); err != nil {
		c.report.Error("done, but the audit log has no line of it", "event", string(e.Kind), "what", strings.Join(strings.Fields(
			strings.Join([]string{e.Step, e.KeyID, e.Client, e.Setting, e.Old, e.New}, " ")), " "))
	}
}

// keysetChanged is keys.Options.Changed.
func (c *auditor) keysetChanged(_ context.Context, before, after keys.Keyset, steps []keys.Event) {
	if c == nil {
		return
	}
	for _, step := range steps {
		if step.Step != keys.StepSetPolicy {
			c.recordDone(c.keyEvent(after, step))
			continue
		}
		for _, d := range before.Policy.Differences(after.Policy) {
			c.recordDone(audit.Event{Kind: audit.SettingChanged, Version: after.Version, Setting: d.Setting, Old: d.Old, New: d.New})
		}
	}
}

// keyEvent is the line of a step. ks is the keyset after it.
func (c *auditor) keyEvent(ks keys.Keyset, step keys.Event) audit.Event {
	e := audit.Event{Kind: audit.KeyChanged, Step: string(step.Step), KeyID: step.KeyID, Version: ks.Version}
	if step.Step == keys.StepSeal {
		e.Old, e.New = ks.SealingKeyBefore, ks.SealingKey
	}
	all := slices.Concat(ks.Keys, ks.History)
	i := slices.IndexFunc(all, func(k keys.Key) bool { return k.KeyID() == step.KeyID })
	if i < 0 {
		return e
	}
	switch step.Step {
	case keys.StepCreate:
		if all[i].Imported {
			e.Reason = "an imported key signs first"
		}
	case keys.StepActivate:
		e.Reason, e.Forced = c.reason, all[i].Forced
	case keys.StepRevoke, keys.StepExpire:
		e.Reason = all[i].Reason
	default:
	}
	return e
}

// storeChanged records that a keyset came to another store, or back.
func (c *auditor) storeChanged(step string, version uint64, from, to string) {
	c.recordDone(audit.Event{Kind: audit.KeyChanged, Step: step, Version: version, Old: from, New: to})
}

// stepExport is the step of a private key that was exported.
const stepExport = "export"

// The steps of storeChanged, besides those of package keys.
const (
	stepCopy     = "copy"
	stepUndoCopy = "undo_copy"
	stepRestore  = "restore"
)

// clientsChanged records which clients were added, removed or changed. A server that starts
// has none before.
func (c *auditor) clientsChanged(before, after []client.Client) {
	record := func(step, id string) {
		c.recordDone(audit.Event{Kind: audit.ClientsChanged, Step: step, Client: id})
	}
	old := map[string]client.Client{}
	for _, b := range before {
		old[b.ID] = b
	}
	for _, n := range after {
		switch b, known := old[n.ID]; {
		case !known:
			record(stepAdd, n.ID)
		case !reflect.DeepEqual(b, n):
			record(stepChange, n.ID)
		}
		delete(old, n.ID)
	}
	for _, b := range before {
		if _, gone := old[b.ID]; gone {
			record(stepRemove, b.ID)
		}
	}
}

// The steps of clientsChanged.
const (
	stepAdd    = "add"
	stepChange = "change"
	stepRemove = "remove"
)

// tokenMinted records a token before it is printed. fault is the name of what is wrong
// with it, "" if nothing is.
func (c *auditor) tokenMinted(r token.Request, kid string, expiresAt time.Time, expired bool, fault string) error {
	e := audit.Event{
		Kind: audit.TokenIssued, ID: r.ID, KeyID: kid, Subject: r.Subject, Audience: r.Audience, Scope: r.Scope,
		Expired: expired,
	}
	if scope, ok := r.Claims["scope"].(string); ok {
		e.Scope = scope
	}
	if fault != "" {
		e.Reason = "fault " + fault
	}
	if !expiresAt.IsZero() {
		e.ExpiresAt = expiresAt.Unix()
	}
	return c.record(e)
}

// reopen opens the file again after it was rotated. It reports whether there is one.
func (c *auditor) reopen(ctx context.Context) bool {
	if c == nil || !c.isFile {
		return false
	}
	if err := c.log.Reopen(); err != nil {
		c.report.ErrorContext(ctx, "audit log reopen failed", "error", err.Error())
	} else {
		c.report.InfoContext(ctx, "audit log reopened")
	}
	return true
}

func (c *auditor) close() {
	if c != nil {
		_ = c.log.Close() // each line was one write
	}
}

// userName is the user of the operating system who runs this process. It does not come from
// the environment, because any user can set that.
func userName() string {
	uid := os.Getuid()
	if uid < 0 { // Windows
		if u, err := user.Current(); err == nil {
			return u.Username
		}
		return ""
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid) // a container may have no such user
}
