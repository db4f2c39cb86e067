package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// The exit codes that have a name. The table below has them all.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitFault       = 70
	exitInterrupt   = 130
)

// exitCode is a row of the table of exit codes.
type exitCode struct {
	code   int
	text   string
	errors func(error) bool // the errors that give it; nil if none does
}

// exitCodes is the one table of exit codes. The first row that an error matches gives
// its code, so that a mistake that the user can correct wins over other causes.
//
// The codes are part of the interface: a code never changes its meaning, and new
// reasons to reject a token take free numbers from 10 to 19.
func exitCodes() []exitCode {
	return []exitCode{
		{exitInterrupt, "interrupted (SIGINT); serve drains and gives 0", isInterrupt(os.Interrupt)},
		{143, "terminated (SIGTERM); serve drains and gives 0", isInterrupt(syscall.SIGTERM)},
		{
			exitUsage, "usage or settings: nothing was done; of verify: nothing was verified",
			either(isA[usageError], isA[*config.Error], isA[*token.RequestError], isA[*token.TTLError],
				is(remote.ErrAddress, keys.ErrSealingKey, keys.ErrClockSkew, keys.ErrWitness, keys.ErrBackup)),
		},

		{10, "rejected: malformed; of inspect: no token at all", isRejection(token.ClassMalformed)},
		{11, "rejected: algorithm, or an extension that crit demands", isRejection(token.ClassAlgorithm)},
		{12, "rejected: the token's key is unknown or cannot be used, or more than one key could be meant", isRejection(token.ClassNoKey)},
		{13, "rejected: the key was revoked or has expired", isRejection(token.ClassKeyWithdrawn)},
		{14, "rejected: expired, too little time left, or too old", isRejection(token.ClassExpired)},
		{15, "rejected: not valid yet", isRejection(token.ClassNotYetValid)},
		{16, "rejected: a claim or typ has the wrong value", isRejection(token.ClassClaim)},
		{17, "rejected: a required claim is missing", isRejection(token.ClassClaimMissing)},
		{exitFailed, "failed; of verify: the signature is wrong", isRejection(token.ClassSignature)},

		{
			5, "refused by a guard that protects verifiers; the message says until when",
			either(isA[*keys.Refusal], is(keys.ErrNoSpecimen)),
		},
		{4, "not found: no keyset, or no such key", is(keys.ErrNoKeyset, keys.ErrUnknownKey)},
		{
			exitUnavailable, "unavailable: the store, the network or the audit log; worth a retry; of verify: no verdict",
			is(keys.ErrUnavailable, keys.ErrStale, keys.ErrDocument, remote.ErrUnavailable, token.ErrKeysUnavailable, audit.ErrUnavailable, errListen, seal.ErrCommand, seal.ErrLocked, context.DeadlineExceeded),
		},

		{exitDone, "done; of verify: every requested check passed", nil},
		{exitFault, "a fault of jwksctl itself; please report it", nil},
	}
}

// codeOf is the exit code for an error. One that is not in the table gives exitFailed.
func codeOf(err error) int {
	if err == nil {
		return exitDone
	}
	for _, row := range exitCodes() {
		if row.errors != nil && row.errors(err) {
			return row.code
		}
	}
	return exitFailed
}

// usageError is a mistake in how a command was called, found by the command itself.
// cobra's own errors become one too.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// badUsage makes a usageError.
func badUsage(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func is(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

func either(tests ...func(error) bool) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(tests, func(test func(error) bool) bool { return test(err) })
	}
}

func isInterrupt(s os.Signal) func(error) bool { return is(interrupted{s}) }

// isRejection matches the verdict that a token was rejected for a reason of a class.
func isRejection(class token.Class) func(error) bool {
	return func(err error) bool {
		verdict, ok := errors.AsType[*token.Refusal](err)
		return ok && verdict.Reason.Class() == class
	}
}
