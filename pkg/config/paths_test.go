package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/config"
)

func TestCheckPath(t *testing.T) {
	environ := []string{"HOME=/wrong", "HOME=/home/me", "STATE=/var/lib", "EMPTY="}
	for path, want := range map[string]string{
		"~":                  "write /home/me",
		"~/":                 "write /home/me",
		"~/a/b.db":           "write /home/me/a/b.db",
		"sqlite:~/a.db":      "sqlite:~/a.db: only a shell expands ~ and variables: write sqlite:/home/me/a.db",
		"$HOME/a.db":         "write /home/me/a.db",
		"${HOME}/a.db":       "write /home/me/a.db",
		"sqlite:$HOME/a.db":  "write sqlite:/home/me/a.db",
		"$STATE/a.db":        "write /var/lib/a.db",
		"~/${STATE}x":        "write /home/me//var/libx",
		"/srv/$STATE":        "write /srv//var/lib",
		"~alice/a.db":        "write the path in full",
		"$NONE/a.db":         "write the path in full",
		"$EMPTY/a.db":        "write the path in full",
		"/srv/${NONE}/a.db":  "write the path in full",
		"":                   "",
		"a.db":               "",
		"./~/a.db":           "",
		"/srv/~/a.db":        "",
		"~a.db":              "",
		"a~":                 "",
		"/srv/a$.db":         "",
		"/srv/$/a":           "",
		`\\host\c$\keys`:     "",
		"sqlite:/srv/a b.db": "",
	} {
		err := config.CheckPath(path, environ)
		if (err == nil) != (want == "") || (err != nil && !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s gives %v, want %q", path, err, want)
		}
	}
	for _, content := range []string{"jwksctl-seal-key-1 c2VjcmV0", "-----BEGIN PRIVATE KEY-----c2VjcmV0", "c2Vjc\nmV0"} {
		if err := config.CheckPath(content, environ); err == nil || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("the content of a key file gives %v", err)
		}
	}
	if err := config.CheckPath("~/a.db", nil); err == nil || !strings.HasSuffix(err.Error(), "write the path in full") {
		t.Errorf("without HOME: %v", err)
	}
}

// Each setting that is a path is checked, wherever it comes from.
func TestPathsThatOnlyAShellExpands(t *testing.T) {
	home := "HOME=/home/me"
	for key, value := range map[string]string{
		"tls_cert": "~/x", "tls_key": "$HOME/x", "ready_file": "~/x", "seal_key": "file:${HOME}/x", "store": "sqlite:~/x", "host": "unix:~/x",
	} {
		variable := "JWKSCTL_" + strings.ToUpper(key)
		flag := "--" + strings.ReplaceAll(key, "_", "-")
		_, err := config.Load("", nil, []string{home, variable + "=" + value})
		refused(t, err, key+" (env "+variable+"): "+value, "/home/me/x")
		_, err = config.Load(write(t, "s.yaml", key+": "+value+"\n"), nil, []string{home})
		refused(t, err, key+" (file ", "/home/me/x")
		_, err = config.Load("", flags(t, flag, value), []string{home})
		refused(t, err, key+" (flag "+flag+"): ", "/home/me/x")
	}
	for _, environ := range [][]string{{home, config.FileVariable + "=~/s.yaml"}, {home, config.FileVariable + "=$HOME/s.yaml"}} {
		_, err := config.Load("", nil, environ)
		refused(t, err, "write /home/me/s.yaml", "named by "+config.FileVariable)
	}
	// A password is no path.
	if _, err := config.Load("", nil, []string{home, "JWKSCTL_STORE=postgres://me:pa$HOME@db/keys"}); err != nil {
		t.Error(err)
	}
	// The folder may really have that name.
	t.Chdir(t.TempDir())
	if err := os.Mkdir("~", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("~", "s.yaml"), []byte("store: sqlite:./~/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load("./~/s.yaml", nil, []string{home}); err != nil {
		t.Error(err)
	}
}
