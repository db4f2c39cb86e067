package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseSource(t *testing.T) {
	for _, text := range []string{
		"file:seal.key", "file:/etc/a b.key", "env:SEAL", "env:_seal_2", "credential:seal", "credential:seal.key",
		"exec:kms decrypt --in '/etc/a b'", `exec:"/opt/my kms"`,
	} {
		s, err := ParseSource(text)
		if err != nil || s.String() != text {
			t.Errorf("%s gives %s, %v", text, s, err)
		}
	}
	for text, want := range map[string]string{
		"":                              "want file:PATH",
		"seal":                          "want file:PATH",
		"/etc/seal.key":                 "want file:PATH",
		"c2VjcmV0":                      "a text without a colon is not repeated here",
		"c2VjcmV0/c2VjcmV0=":            "a text without a colon is not repeated here",
		"FILE:x":                        "want file:PATH",
		"vault:x":                       "want file:PATH",
		"file:":                         "nothing after the colon",
		"exec:":                         "nothing after the colon",
		"exec: ":                        "there is no command",
		"exec:''":                       "there is no command",
		"exec:kms 'decrypt":             "the quote ' is not closed",
		"env:A-B":                       "letters, digits and underscores",
		"env:2":                         "letters, digits and underscores",
		"env:JWKSCTL_SEAL":              "give the variable another name",
		"credential:a/b":                "without a folder",
		"credential:..":                 "without a folder",
		lineMagic + "c2VjcmV0":          "not the sealing key itself",
		"env:" + lineMagic + "c2VjcmV0": "not the sealing key itself",
	} {
		_, err := ParseSource(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%q gives %v, want %q", text, err, want)
		}
	}
}

func TestSplitCommand(t *testing.T) {
	for line, want := range map[string][]string{
		"kms":                   {"kms"},
		"  kms  decrypt\tkey ":  {"kms", "decrypt", "key"},
		`a 'b  "c' "d 'e" f''g`: {"a", `b  "c`, `d 'e`, "fg"},
		`a '' ""`:               {"a", "", ""},
		`a --x='b c'd`:          {"a", "--x=b cd"},
		`a $HOME * ; b | c \n`:  {"a", "$HOME", "*", ";", "b", "|", "c", `\n`},
	} {
		if got, err := splitCommand(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s gives %q, %v, want %q", line, got, err, want)
		}
	}
}

// newText is the text of a source with new keys, and their names.
func newText(t testing.TB, keys int) (text string, names []string) {
	t.Helper()
	for range keys {
		line, name, err := NewLine()
		if err != nil {
			t.Fatal(err)
		}
		text, names = text+line+"\n", append(names, name)
	}
	return text, names
}

func open(t testing.TB, source string, e Environment) (*Sealer, error) {
	t.Helper()
	s, err := ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	created, err := Create(t.Context(), s, e)
	opened, openErr := Open(t.Context(), s, e)
	if fmt.Sprint(err) != fmt.Sprint(openErr) {
		t.Errorf("Create = %v, Open = %v", err, openErr)
	}
	if err == nil && !slices.Equal(created.Names(), opened.Names()) {
		t.Errorf("Create gives %q, Open %q", created.Names(), opened.Names())
	}
	return opened, openErr
}

func TestVariable(t *testing.T) {
	text, names := newText(t, 2)
	removed := []string{}
	e := Environment{Environ: []string{"SEAL=x", "A=b", "SEAL=\n" + text}, Unset: func(name string) { removed = append(removed, name) }}
	s, err := open(t, "env:SEAL", e)
	if err != nil || !slices.Equal(s.Names(), names) {
		t.Fatalf("Open = %v, want the keys %q", err, names)
	}
	if !slices.Equal(removed, []string{"SEAL", "SEAL"}) {
		t.Errorf("child processes do not get %q, want that of SEAL at each read", removed)
	}
	if err := s.Reload(t.Context()); err != nil || len(removed) != 2 {
		t.Errorf("Reload = %v, and the variable was read %d times", err, len(removed))
	}
	for value, want := range map[string]string{"": "not set", "c2VjcmV0": "not a sealing key"} {
		_, err := open(t, "env:SEAL", Environment{Environ: []string{"SEAL=" + value}})
		if err == nil || !strings.Contains(err.Error(), "env:SEAL: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("the value %q gives %v, want %q", value, err, want)
		}
	}
	if _, err := open(t, "env:SEAL", Environment{}); err == nil || !strings.Contains(err.Error(), "'jwksctl seal key' prints one") {
		t.Errorf("without the variable: %v", err)
	}
}

func TestCredential(t *testing.T) {
	text, names := newText(t, 1)
	folder := t.TempDir()
	e := Environment{Environ: []string{"CREDENTIALS_DIRECTORY=" + folder}}
	if _, err := open(t, "credential:seal", e); err == nil || !strings.Contains(err.Error(), "LoadCredential=") {
		t.Errorf("without the credential: %v", err)
	}
	if _, err := open(t, "credential:seal", Environment{}); err == nil || !strings.Contains(err.Error(), "CREDENTIALS_DIRECTORY is not set") {
		t.Errorf("without systemd: %v", err)
	}
	path := filepath.Join(folder, "seal")
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o440); err != nil { // systemd gives the service access by an ACL
		t.Fatal(err)
	}
	s, err := open(t, "credential:seal", e)
	if err != nil || !slices.Equal(s.Names(), names) {
		t.Fatalf("Open = %v", err)
	}
	next, nextNames := newText(t, 1)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte(text+next), 0o400), s.Reload(t.Context())); err != nil {
		t.Fatal(err)
	}
	if want := append(names, nextNames...); !slices.Equal(s.Names(), want) {
		t.Errorf("after a Reload: %q, want %q", s.Names(), want)
	}
}

func TestReloadThatFailsKeepsTheKeys(t *testing.T) {
	text, names := newText(t, 1)
	path := writeFile(t, text, 0o600)
	s, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err == nil || !slices.Equal(s.Names(), names) {
		t.Errorf("Reload = %v, keys %q", err, s.Names())
	}
	sealed, err := s.Seal(names[0], []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("seal-other", sealed, nil); err == nil || !strings.Contains(err.Error(), "no key seal-other") {
		t.Errorf("Open with another name: %v", err)
	}
	if _, err := s.Seal("seal-other", nil, nil); err == nil || !strings.Contains(err.Error(), "no key seal-other") {
		t.Errorf("Seal with another name: %v", err)
	}
}

// commandEnv makes the test binary a command: it prints the values of two variables on
// standard output and standard error, and ends as the third one says.
const commandEnv = "SEAL_TEST_COMMAND"

func runCommand() {
	fmt.Print(os.Getenv("STDOUT"))
	fmt.Fprint(os.Stderr, os.Getenv("STDERR"))
	switch os.Getenv(commandEnv) {
	case "hang":
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		<-interrupted
	case "fail":
		os.Exit(3)
	}
	os.Exit(0)
}

// command is the source of a command that prints text and ends in a way.
func command(t *testing.T, end, stdout, stderr string) (Source, Environment, *bytes.Buffer) {
	t.Helper()
	s, err := ParseSource("exec:'" + os.Args[0] + "' print")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	return s, Environment{
		Environ: append(os.Environ(), commandEnv+"="+end, "STDOUT="+stdout, "STDERR="+stderr),
		Log:     slog.New(slog.NewTextHandler(&log, nil)),
	}, &log
}

func TestCommand(t *testing.T) {
	text, names := newText(t, 2)
	s, e, log := command(t, "exit", text, "a warning")
	sealer, err := Open(t.Context(), s, e)
	if err != nil || !slices.Equal(sealer.Names(), names) || log.Len() > 0 {
		t.Errorf("Open = %v, log %s", err, log)
	}
}

func TestCommandThatFails(t *testing.T) {
	text, _ := newText(t, 1)
	secret := strings.TrimSpace(strings.TrimPrefix(text, lineMagic))
	for name, tt := range map[string]struct {
		end, stdout, stderr string
		want, logged        string
		later               bool // it may succeed later
	}{
		"exit code":     {"fail", text, "no such key: alias/x", "exit status 3", "no such key: alias/x", true},
		"key on stderr": {"fail", "", "+ echo " + text, "exit status 3", "+ echo", true},
		"empty":         {"exit", "", "", "it is empty", "", false},
		"no key":        {"exit", "c2VjcmV0", "x", "not a sealing key", "", false},
		"too much":      {"exit", strings.Repeat("c2VjcmV0", 1000), "", "too long", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, e, log := command(t, tt.end, tt.stdout, tt.stderr)
			_, err := Open(t.Context(), s, e)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrCommand) != tt.later {
				t.Errorf("Open = %v, want %q", err, tt.want)
			}
			if all := fmt.Sprint(err, log); strings.Contains(all, secret[:12]) || strings.Contains(all, "c2Vj") {
				t.Errorf("what the command printed is in the error or in the log: %s", all)
			}
			if !strings.Contains(log.String(), tt.logged) || (tt.logged == "") != (log.Len() == 0) {
				t.Errorf("the log is %q, want %q", log, tt.logged)
			}
		})
	}
}

func TestCommandThatHangs(t *testing.T) {
	s, e, log := command(t, "hang", "", "waiting")
	if _, err := s.output(t.Context(), e, 200*time.Millisecond); !errors.Is(err, ErrCommand) || !strings.Contains(err.Error(), "longer than 200ms") {
		t.Errorf("output = %v", err)
	}
	_ = log // it may have been killed before it wrote anything
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.output(ctx, e, time.Hour); !errors.Is(err, ErrCommand) || !errors.Is(err, context.Canceled) {
		t.Errorf("output after an interrupt = %v", err)
	}
}

func TestCommandThatCannotBeStarted(t *testing.T) {
	for _, source := range []string{"exec:jwksctl-no-such-command", "exec:/nonexistent/kms", "exec:" + t.TempDir()} {
		if _, err := open(t, source, Environment{}); err == nil || errors.Is(err, ErrCommand) || !strings.Contains(err.Error(), "cannot be started") {
			t.Errorf("%s gives %v", source, err)
		}
	}
}
