// Package etcdtest contains the tests of the engine pkg/store/etcd on a real cluster. It
// is a module of its own, because its program member needs the server of etcd, which is
// not to be in our go.mod. Package etcdcluster builds and runs that program.
//
//	cd pkg/store/etcd/etcdtest && go test ./...
package etcdtest
