//go:build unix

package postgrestest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/programtest"
)

const notInstalled = "PostgreSQL is not installed: these tests did not run: apt-get install postgresql"

// installation is the PostgreSQL of this machine and the user that runs it.
type installation struct {
	bin        string              // folder of the programs
	credential *syscall.Credential // nil: the user of the test
	superuser  string              // the user of the test
}

// find finds the PostgreSQL of this machine. It ends the test if there is none.
func find(t testing.TB) installation {
	t.Helper()
	bin := binFolder()
	if bin == "" {
		programtest.Missing(t, notInstalled)
	}
	in := installation{bin: bin}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	in.superuser = me.Username
	if os.Geteuid() != 0 {
		return in
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			in.credential = &syscall.Credential{Uid: id(t, u.Uid), Gid: id(t, u.Gid)}
			return in
		}
	}
	t.Fatal("postgres does not run as root, and there is no user postgres or nobody to run it")
	return in
}

// binFolder returns the folder of the newest PostgreSQL, "" if there is none. Debian does
// not have it on PATH.
func binFolder() string {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(folders, func(a, b string) int { return release(b) - release(a) })
	if initdb, err := exec.LookPath("initdb"); err == nil {
		folders = append(folders, filepath.Dir(initdb))
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "postgres")); err == nil {
			return folder
		}
	}
	return ""
}

func release(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	return n
}

func id(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// command returns a command that runs a program as the user of the server: one of
// PostgreSQL, or that at an absolute path.
func (in installation) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(program) {
		program = filepath.Join(in.bin, program)
	}
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // a test runs what is installed
	cmd.Dir = "/"                                     // the user may not be allowed to enter the folder of the test
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: in.credential}
	return cmd
}

func (in installation) run(ctx context.Context, program string, args ...string) error {
	if out, err := in.command(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v\n%s", program, err, out)
	}
	return nil
}

// folder makes a temporary folder that belongs to the user of the server. t.TempDir is in
// a folder that this user may not enter, and its path is too long for a socket.
func (in installation) folder() (string, error) {
	dir, err := os.MkdirTemp("/tmp", "jwksctl-pg-")
	if err == nil && in.credential != nil {
		err = os.Chown(dir, int(in.credential.Uid), int(in.credential.Gid))
	}
	return dir, err
}

// template returns a folder with a new cluster, which the cache of the user keeps.
func (in installation) template(ctx context.Context) (string, error) {
	version, err := in.command(ctx, "postgres", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("postgres --version: %v", err)
	}
	const recipe = 1 // changes with initialize
	sum := sha256.Sum256(fmt.Append(version, in.bin, in.superuser, recipe))
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	kept := filepath.Join(cache, "jwksctl-test", fmt.Sprintf("postgres-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:8])))
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return "", err
	}
	dir, err := in.folder()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	made := filepath.Join(dir, "data")
	if err := in.initialize(ctx, made); err != nil {
		return "", err
	}
	return kept, keep(made, kept)
}

// keep copies a folder to a place that other processes use. It appears there whole.
func keep(made, kept string) error {
	incomplete, err := os.MkdirTemp(filepath.Dir(kept), "incomplete-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(incomplete) //nolint:errcheck // it remains only after an error
	if err := os.CopyFS(filepath.Join(incomplete, "data"), os.DirFS(made)); err != nil {
		return err
	}
	err = os.Rename(filepath.Join(incomplete, "data"), kept)
	if _, missing := os.Stat(kept); missing == nil {
		return nil // another process may have been faster
	}
	return err
}

// initialize makes a cluster with the superusers postgres and in.superuser.
func (in installation) initialize(ctx context.Context, data string) error {
	err := in.run(ctx, "initdb", "--pgdata", data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
		"--no-sync", "--wal-segsize=1", "--no-instructions")
	if err != nil || in.superuser == "postgres" {
		return err
	}
	cmd := in.command(ctx, "postgres", "--single", "-F", "-D", data, "postgres")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("CREATE ROLE \"%s\" SUPERUSER LOGIN\n", in.superuser))
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("ERROR")) {
		return fmt.Errorf("create role %s: %v\n%s", in.superuser, err, out)
	}
	return nil
}

// copyTemplate copies the template to data, for the user of the server.
func (in installation) copyTemplate(ctx context.Context, template, data string) error {
	if err := os.CopyFS(data, os.DirFS(template)); err != nil {
		return err
	}
	change := []string{"chmod -R u=rwX,go= \"$1\""}
	if in.credential != nil {
		change = append(change, fmt.Sprintf("chown -R %d:%d \"$1\"", in.credential.Uid, in.credential.Gid))
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", strings.Join(change, " && "), "sh", data) //nolint:gosec // the script is a constant with two numbers
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("change the owner of %s: %v\n%s", data, err, out)
	}
	return nil
}
