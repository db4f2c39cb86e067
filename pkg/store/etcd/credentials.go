package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jwksctl/jwksctl/pkg/fileaccess"
)

// unusableFile marks the errors of the files below. gRPC passes only a text on.
const unusableFile = "cannot use the file"

// tlsFiles makes TLS connections with certificates that it reads from files for each
// new connection, so that certificates can be renewed while the process runs.
type tlsFiles struct {
	cacert, cert, key string // cacert is "" to trust what the system trusts, the others for no client certificate
}

func (f tlsFiles) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.cacert != "" {
		pem, err := os.ReadFile(f.cacert)
		if err != nil {
			return nil, fmt.Errorf("%s of cacert=: %v", unusableFile, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s of cacert=: %s contains no certificate in PEM", unusableFile, f.cacert)
		}
	}
	if f.cert != "" {
		if err := checkSecret(f.key); err != nil {
			return nil, fmt.Errorf("%s of key=: %v", unusableFile, err)
		}
		certificate, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("%s of cert= or key=: %v", unusableFile, err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// checkSecret returns an error if other users can read the file at path.
func checkSecret(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := fileaccess.Check(path, info); err != nil {
		return fmt.Errorf("%s: %v", path, err)
	}
	return nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (f tlsFiles) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := f.config()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
}

// ServerHandshake implements credentials.TransportCredentials.
func (tlsFiles) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("etcd: these credentials are those of a client")
}

// Info implements credentials.TransportCredentials.
func (tlsFiles) Info() credentials.ProtocolInfo { return credentials.NewTLS(nil).Info() }

// Clone implements credentials.TransportCredentials.
func (f tlsFiles) Clone() credentials.TransportCredentials { return f }

// OverrideServerName implements credentials.TransportCredentials.
func (tlsFiles) OverrideServerName(string) error {
	return errors.New("etcd: the name of the server cannot be overridden")
}

// login gets tokens for a user and a password. The client of etcd can do so too, but keeps
// the password that it was created with, and connects before it is used.
type login struct {
	user, file string

	mu    sync.Mutex
	valid bool
	token string // "" if the server does not authenticate users
}

// password reads the password: the first line of the file.
func (l *login) password() (string, error) {
	if err := checkSecret(l.file); err != nil {
		return "", fmt.Errorf("%s of password_file=: %v", unusableFile, err)
	}
	content, err := os.ReadFile(l.file)
	if err != nil {
		return "", fmt.Errorf("%s of password_file=: %v", unusableFile, err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("%s of password_file=: the first line of %s is empty", unusableFile, l.file)
	}
	return line, nil
}

// withToken adds the token to the metadata of ctx. It logs in if there is none.
func (l *login) withToken(ctx context.Context, conn *grpc.ClientConn) (context.Context, error) {
	l.mu.Lock()
	valid, token := l.valid, l.token
	l.mu.Unlock()
	if !valid {
		password, err := l.password()
		if err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		answer, err := pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: l.user, Password: password})
		if err != nil && !is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled) {
			return nil, err
		}
		token = answer.GetToken()
		l.mu.Lock()
		l.valid, l.token = true, token
		l.mu.Unlock()
	}
	if token == "" {
		return ctx, nil
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token), nil
}

// forgetIfRefused makes the next call log in again if err says that the token is not
// valid. The call itself is not repeated, because it may be a transaction.
func (l *login) forgetIfRefused(err error) {
	if is(rpctypes.Error(err), rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision, rpctypes.ErrUserEmpty) {
		l.mu.Lock()
		l.valid = false
		l.mu.Unlock()
	}
}

// unary is a grpc.UnaryClientInterceptor.
func (l *login) unary(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if method == pb.Auth_Authenticate_FullMethodName {
		return invoke(ctx, method, request, answer, conn, options...)
	}
	ctx, err := l.withToken(ctx, conn)
	if err != nil {
		return err
	}
	err = invoke(ctx, method, request, answer, conn, options...)
	l.forgetIfRefused(err)
	return err
}

// stream is a grpc.StreamClientInterceptor.
func (l *login) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, err := l.withToken(ctx, conn)
	if err != nil {
		return nil, err
	}
	return open(ctx, desc, conn, method, options...)
}
