package etcd

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	// pingAfter is how long a connection that waits for an answer may be silent before the
	// client pings the member: gRPC takes nothing below 10 s, etcd refuses below 5 s.
	pingAfter = 10 * time.Second

	// pingTimeout is how long the client waits for the answer to a ping. Then it takes
	// the connection for dead.
	pingTimeout = 3 * time.Second

	// connectTimeout is how long one attempt to connect to one member may take.
	connectTimeout = 3 * time.Second

	// longestBackoff is the longest pause between two attempts to connect to one member.
	longestBackoff = 2 * time.Second
)

// Open opens the store at url. It reads the files that the URL names, and connects later:
// a cluster that cannot be reached is an error of the first read.
func Open(_ context.Context, url string) (*Store, error) {
	a, err := parse(url)
	if err != nil {
		return nil, err
	}
	options, err := a.dialOptions()
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", a.name(), err)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            a.endpoints,
		DialKeepAliveTime:    pingAfter,
		DialKeepAliveTimeout: pingTimeout,
		MaxUnaryRetries:      1, // that is none: see Store.get and Store.Swap
		Logger:               zap.NewNop(),
		DialOptions:          options,
	})
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", a.name(), err)
	}
	return &Store{name: a.name(), prefix: a.prefix, client: client, now: time.Now}, nil
}

// OpenReader opens the store at url for a process that only reads. It needs the right to
// read PREFIX/keyset alone; only PrivateKey and Swap need more.
func OpenReader(ctx context.Context, url string) (*Store, error) { return Open(ctx, url) }

// dialOptions returns options for gRPC, which come after those of the client of etcd.
func (a address) dialOptions() ([]grpc.DialOption, error) {
	options := []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longestBackoff,
			},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithChainUnaryInterceptor(failFast),
	}
	if a.tls {
		files := tlsFiles{a.cacert, a.cert, a.key}
		if _, err := files.config(); err != nil {
			return nil, err
		}
		options = append(options, grpc.WithTransportCredentials(files))
	}
	if a.user != "" {
		l := &login{user: a.user, file: a.passwordFile}
		if _, err := l.password(); err != nil {
			return nil, err
		}
		options = append(options, grpc.WithChainUnaryInterceptor(l.unary), grpc.WithChainStreamInterceptor(l.stream))
	}
	return options, nil
}

// failFast makes a call fail if no member can be reached. The error then says why, while
// a call that waits for a connection only says that its time is over.
func failFast(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	return invoke(ctx, method, request, answer, conn, append(options, grpc.WaitForReady(false))...)
}
