//go:build unix

package postgres

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func TestConformance(t *testing.T) {
	server := postgrestest.Start(t)
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		url := server.CreateDatabase(t)
		return storetest.Fixture{
			Open: func() keys.Store { return openForSuite(t, url) },
			Restart: func() {
				server.Kill(t)
				server.Start(t)
			},
			Backup: func() func() { return server.Backup(t, database(url)) },
		}
	})
}

// TestFaults has one database. Each store is a schema in it.
func TestFaults(t *testing.T) {
	server := postgrestest.Start(t, "max_connections = 400")
	var schemas atomic.Int32
	storetest.RunFaults(t, func(t *testing.T) storetest.Fixture {
		schema := fmt.Sprintf("schema_%d", schemas.Add(1))
		direct := server.TCPURL("postgres") + "&schema=" + schema
		return storetest.Fixture{
			Open: func() keys.Store { return openForSuite(t, direct) },
			Network: &storetest.Network{
				Network: "tcp", Address: server.Address(), Framing: storetest.PostgreSQL,
				Open: func(ctx context.Context, address string) (keys.Store, error) {
					return openStoreOrNil(Open(ctx, strings.Replace(direct, server.Address(), address, 1)))
				},
				Disconnect: func(client net.Addr) {
					server.Exec(t, "postgres", fmt.Sprintf(
						"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = %d", client.(*net.TCPAddr).Port))
				},
			},
		}
	})
}

// openForSuite opens a store that the suite closes.
func openForSuite(t *testing.T, url string) keys.Store {
	t.Helper()
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openStoreOrNil does not put a nil *Store into a keys.Store.
func openStoreOrNil(s *Store, err error) (keys.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func database(url string) string {
	_, path, _ := strings.Cut(url, "@/")
	name, _, _ := strings.Cut(path, "?")
	return name
}
