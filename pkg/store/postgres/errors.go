package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// SQLSTATE codes, from appendix A of the manual of PostgreSQL.
const (
	codeReadOnly          = "25006"
	codeIdleInTransaction = "25P03"
	codeLockNotAvailable  = "55P03"
	codeUndefinedTable    = "42P01"
	codeUndefinedSchema   = "3F000"
)

// failure is the Err of a StoreError: text for the log, and the SQLSTATE.
type failure struct {
	text string
	code string
}

func (f *failure) Error() string { return f.text }

// fail returns an error that says what failed, why, and what to do. It matches the error of
// ctx if ctx is done. It drops the connections to a standby.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	if known, ok := errors.AsType[*keys.StoreError](err); ok {
		return known
	}
	if cause := ctx.Err(); cause != nil {
		text := fmt.Errorf("store %s: %s: %w", s.name, doing, cause)
		if errors.Is(cause, context.Canceled) {
			return text // the caller did this
		}
		return &keys.StoreError{Problem: "the store does not answer", Err: text}
	}
	if errors.Is(err, errStandby) || hasCode(err, codeReadOnly) {
		s.pool.Reset()
	}
	problem, hint := explain(err)
	if hint != "" {
		hint = ": " + hint
	}
	return &keys.StoreError{Problem: problem, Err: &failure{fmt.Sprintf("store %s: %s: %v%s", s.name, doing, oneLine(err), hint), code(err)}}
}

// oneLine returns the text of an error without line breaks, which pgx uses if there are
// several hosts.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// code returns the SQLSTATE of an error, "" if it has none.
func code(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func hasCode(err error, want string) bool { return code(err) == want }

// isUndefined reports whether the schema or one of its tables does not exist.
func isUndefined(err error) bool {
	return hasCode(err, codeUndefinedTable) || hasCode(err, codeUndefinedSchema)
}

// explain returns the problem in one sentence, and what to do about it.
func explain(err error) (problem, hint string) {
	if code := code(err); code != "" {
		return explainCode(code)
	}
	_, unconfirmed := errors.AsType[unconfirmedError](err)
	_, passwordFile := errors.AsType[passwordFileError](err)
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case unconfirmed:
		return "the store did not confirm a change", "if the server waits for a synchronous standby, check the standbys"
	case passwordFile:
		return "the password file of the store cannot be used", "name a file that this user, and no other, can read"
	case errors.Is(err, errStandby):
		return "the store is read-only: it is a standby", ""
	case pgconn.Timeout(err):
		return "the store does not answer", "check the server and the network"
	case isTLS(err):
		return explainTLS(err)
	case isForbiddenMD5(err):
		return "the store asks for an MD5 password, which GODEBUG=fips140=only forbids",
			"set password_encryption of the server to scram-sha-256, and the password of the user again"
	case connecting:
		return "the store cannot be reached", "check that the server runs, and the host and port in the URL"
	case errors.Is(err, pgconn.ErrConnClosed), isLost(err):
		return "the connection to the store was lost", "retry"
	}
	return "the store failed", ""
}

// explainCode explains a SQLSTATE.
func explainCode(code string) (problem, hint string) {
	switch code {
	case "28P01":
		return "the store refuses the password", "check the password, password_file or PGPASSFILE"
	case "28000":
		return "the store refuses this user", "check pg_hba.conf of the server: user, host, database and TLS"
	case "3D000":
		return "the database of the store does not exist", "create it, or correct the URL"
	case "42501":
		return "the store denies a right that this process needs", "grant the role jwksctl_signer, or jwksctl_reader with auth: off"
	case codeUndefinedTable, codeUndefinedSchema:
		return "the schema of the store does not exist", "restore it from a backup, or correct the parameter schema"
	case codeReadOnly:
		return "the store is read-only: it is a standby, or was made read-only", "name the primary, or all servers of the cluster"
	case codeLockNotAvailable:
		return "another process has locked the keyset", "look for a session that holds the lock: pg_stat_activity; one that waits for SyncRep needs a standby"
	case codeIdleInTransaction:
		return "the store ended a change that took too long", "retry"
	case "53100":
		return "the disk of the store is full", "free space on the server"
	case "53300":
		return "the store has too many connections", "raise max_connections, or use a pooler"
	case "57P01", "57P02", "57P03":
		return "the store is shutting down or starting", "retry when it runs"
	case "57P05":
		return "the connection to the store was lost", "retry"
	}
	switch {
	case strings.HasPrefix(code, "08"): // a pooler reports a server that it cannot reach
		return "the store cannot be reached", "check the server"
	case strings.HasPrefix(code, "28"):
		return "the store refuses this user", "check the user and its password"
	case strings.HasPrefix(code, "40"):
		return "the store aborted a change", "retry"
	case strings.HasPrefix(code, "53"):
		return "the store is out of resources", "check the memory and the disk of the server"
	case strings.HasPrefix(code, "58"), strings.HasPrefix(code, "XX"):
		return "the store has a fault of its disk or its data", "check the log of the server"
	}
	return "the store refused a statement", "check the log of the server"
}

// isTLS reports whether an error comes from TLS.
func isTLS(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return verification || alert || strings.Contains(err.Error(), "tls error") || strings.Contains(err.Error(), "tls: ")
}

func explainTLS(err error) (problem, hint string) {
	_, hostname := errors.AsType[x509.HostnameError](err)
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case hostname:
		return "the certificate of the store is for another host", "name the host as its certificate does"
	case verification:
		return "the certificate of the store is not trusted", "name its authority with sslrootcert"
	case strings.Contains(err.Error(), "refused TLS"):
		return "the store does not offer TLS", "turn it on in the server, or change sslmode"
	case strings.Contains(err.Error(), "remote error"):
		return "the store refuses the client certificate", "check sslcert and sslkey"
	}
	return "TLS with the store fails", "check sslmode and the certificates"
}

// isLost reports whether the connection ended during a statement.
func isLost(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
