package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary stand in for jwksctl: the scripts run the real
// command tree in processes of their own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jwksctl": main, "faulty-jwksctl": faulty})
}

// faulty is jwksctl with a bug that makes it panic.
func faulty() {
	p := system()
	p.now = func() time.Time { panic("the clock is gone") }
	os.Exit(execute(context.Background(), p, os.Args[1:]))
}

// TestScript runs the stories in testdata/script. Besides the commands of testscript,
// they use those of the function commands, and these variables:
//
//	STATE  the folder of the default store
//	DB     the file of the default store
//
//	PROVIDERS  the folder of keys and tokens as providers write them
//
// New keys are ES256 unless a story says otherwise, because RSA keys take long to
// generate.
func TestScript(t *testing.T) {
	providers, err := filepath.Abs("testdata/providers")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			state := filepath.Join(home, "state")
			e.Setenv("HOME", home)
			e.Setenv("USERPROFILE", home)
			e.Setenv("XDG_STATE_HOME", state)
			e.Setenv("STATE", filepath.Join(state, "jwksctl"))
			e.Setenv("DB", filepath.Join(state, "jwksctl", "keyset.db"))
			e.Setenv("PROVIDERS", providers)
			e.Setenv("JWKSCTL_ALGORITHM", "ES256")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // otherwise each process waits for a second before it ends
			e.Values[serversKey{}] = servers{}
			e.Values[locksKey{}] = locks{}
			return os.Mkdir(home, 0o700)
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, errors.New("unknown condition")
			}
			return os.Geteuid() == 0, nil
		},
		Cmds:                commands(),
		Deadline:            time.Now().Add(15 * time.Minute), // a server that starts although it must not would run for ever
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

// commands are the commands that stories have besides those of testscript.
func commands() map[string]scriptCommand {
	return map[string]scriptCommand{
		"code":         code,
		"signal":       signalled,
		"capture":      capture,
		"json":         jsonMember,
		"perm":         permissions,
		"serve":        serve,
		"serve-unread": serveUnread,
		"send":         sends,
		"end":          end,
		"logs":         logs,
		"http":         request,
		"awaits":       awaits,
		"sql":          sqlStatement,
		"lock":         lockStore,
		"unlock":       unlockStore,
		"eventually":   eventually,
		"key-locked":   keyLocked,
	}
}

// Each exit code of the table is checked by a story, and stories check no other.
func TestScriptsCheckEveryExitCode(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	line := regexp.MustCompile(`(?m)^(?:\[.*?\] )?(?:code|signal \w+|end \w+) (\d+) `)
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range line.FindAllSubmatch(text, -1) {
			checked[string(match[1])] = true
		}
	}
	for _, row := range exitCodes() {
		if code := strconv.Itoa(row.code); !checked[code] {
			t.Errorf("no story checks exit code %s: %s", code, row.text)
		} else {
			delete(checked, code)
		}
	}
	if len(checked) > 0 {
		t.Errorf("stories check exit codes that are not in the table: %v", checked)
	}
}

// code runs a program that must end with exactly this exit code:
//
//	code 5 jwksctl keys rotate
func code(ts *testscript.TestScript, neg bool, args []string) {
	want := arguments(ts, neg, args, 2, "code N program [args...]")
	err := ts.Exec(args[1], args[2:]...)
	if got := exitCodeOf(ts, err); strconv.Itoa(got) != want[0] {
		ts.Fatalf("exit code %d, want %s", got, want[0])
	}
}

// exitCodeOf is the exit code of a program, -1 if a signal ended it.
func exitCodeOf(ts *testscript.TestScript, err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// capture sets a variable to the content of a file, or of stdout or stderr, without the
// newline at its end:
//
//	capture TOKEN stdout
func capture(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "capture VARIABLE FILE")
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile(args[1]), "\n"))
}

// permissions compares the permission bits of files:
//
//	perm 600 $DB
func permissions(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "perm MODE FILE...")
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", file, got, args[0])
		}
	}
}

// arguments fails the story if a command is negated or has too few arguments.
func arguments(ts *testscript.TestScript, neg bool, args []string, minimum int, usage string) []string {
	if neg || len(args) < minimum {
		ts.Fatalf("usage: %s", usage)
	}
	return args
}
