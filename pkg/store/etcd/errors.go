package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// serverLead is how much earlier than ctx the server may end a call.
const serverLead = 50 * time.Millisecond

// fail returns a *keys.StoreError that says what failed, why, and what to do. It matches
// the error of ctx if ctx is done.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	problem, hint := diagnose(err)
	text := fmt.Sprintf("store %s: %s: %s: %s", s.name, doing, status.Convert(err).Message(), hint)
	if done := contextError(ctx, err); done != nil {
		return &keys.StoreError{Problem: problem, Err: fmt.Errorf("%s: %w", text, done)}
	}
	return &keys.StoreError{Problem: problem, Err: errors.New(text)}
}

// contextError returns the error of ctx if it is done. A call that err ended may have been
// ended by the server, which knows when ctx ends, just before ctx.
func contextError(ctx context.Context, err error) error {
	code := codeOf(err)
	at, ok := ctx.Deadline()
	if ok && (code == codes.DeadlineExceeded || code == codes.Canceled) && time.Until(at) < serverLead {
		<-ctx.Done()
	}
	return ctx.Err()
}

// diagnose returns what an error of the client means, and what to do about it.
func diagnose(err error) (problem, hint string) {
	switch code := codeOf(err); {
	case is(err, rpctypes.ErrNoLeader, rpctypes.ErrLeaderChanged, rpctypes.ErrUnhealthy, rpctypes.ErrTimeoutDueToLeaderFail):
		return "the store has no leader", "check that most of its members run and reach each other"
	case is(err, rpctypes.ErrPermissionDenied):
		return "the store does not permit this access", "grant the user the role of a reader or of a signer"
	case is(err, rpctypes.ErrAuthFailed):
		return "the store refuses the password", "check user= and password_file="
	case is(err, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound):
		return "the store asks for a user", "give a client certificate, or user= and password_file="
	case is(err, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision):
		return "the store refuses the login", "retry"
	case is(err, rpctypes.ErrNoSpace):
		return "the store is out of space", "compact and defragment it or raise its quota, then: etcdctl alarm disarm"
	case is(err, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps),
		code == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max"): // not sent
		return "the change is larger than the store accepts", "raise --max-request-bytes or --max-txn-ops of its members"
	case is(err, rpctypes.ErrTooManyRequests):
		return "the store is overloaded", "retry later, or look for what else uses it"
	case is(err, rpctypes.ErrCorrupt):
		return "the store is corrupt", "look at its alarms and replace the member that differs"
	case is(err, errLearner()):
		return "the member of the store is still a learner", "promote it, or name other members"
	case code == codes.Canceled:
		return "the request to the store was cancelled", "retry"
	case code == codes.Unavailable, code == codes.DeadlineExceeded:
		return diagnoseConnection(err.Error())
	}
	return "the store failed", "look at the logs of its members"
}

// diagnoseConnection is diagnose for a failed connection, which gRPC reports as a text.
func diagnoseConnection(text string) (problem, hint string) {
	switch {
	case strings.Contains(text, unusableFile):
		return "a file with credentials for the store cannot be used", "check the file"
	case strings.Contains(text, "remote error: tls:"):
		return "the store refuses our certificate", "check cert= and key="
	case strings.Contains(text, "x509:"):
		return "the certificate of the store is not trusted", "check cacert= and the names of the hosts"
	case strings.Contains(text, "authentication handshake failed"):
		return "the TLS handshake with the store fails", "check that its members use TLS"
	}
	return "the store does not answer", "check that its members run and can be reached, and how they use TLS"
}

// codeOf returns the code of an error of gRPC, of etcd or of a context.
func codeOf(err error) codes.Code {
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return e.Code()
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}

// isTemporary reports whether a read that failed may succeed if it is tried again.
func isTemporary(err error) bool {
	code := codeOf(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded ||
		is(err, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision,
			errLearner(), rpctypes.ErrTooManyRequests)
}

// errLearner is the error of a member that does not answer reads yet.
func errLearner() error { return rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner) }

func is(err error, known ...error) bool {
	return slices.ContainsFunc(known, func(e error) bool { return errors.Is(err, e) })
}
