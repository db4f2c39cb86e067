package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/config"
)

var updateReadme = flag.Bool("readme.update", false, "replace the output in the README's tour with that of this run")

const readmeFile = "../../README.md"

func readReadme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestReadmeTables compares the tables of settings and exit codes with those that
// the program uses.
func TestReadmeTables(t *testing.T) {
	text := readReadme(t)
	var rows []string
	for _, k := range config.Keys() {
		value := "–"
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", k.Name, value, k.Usage))
	}
	for _, c := range exitCodes() {
		rows = append(rows, fmt.Sprintf("| %d | %s |", c.code, c.text))
	}
	for _, row := range rows {
		if !strings.Contains(text, "\n"+row+"\n") {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
}

// TestReadmeTour runs the commands of the README's console blocks in order, on an
// empty home, and compares what they print with what the README shows. Kids and
// times differ from run to run, but a kid that occurs twice must do so in both.
//
//	go test ./cmd/jwksctl -run ReadmeTour -readme.update
//
// pastes the output of a new run.
func TestReadmeTour(t *testing.T) {
	tour := newTour(t)
	text := tour.follow("console")
	tour.checkRoutes(text)
}

// needTourTools skips the test if a program is missing that the README's commands use.
func needTourTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "jq", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if runtime.GOOS == "linux" && os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("%s is not installed: the README's tour was not run: apt-get install %[1]s", tool)
		}
	}
}

// follow runs the commands of one kind of block, compares what they print, and returns the
// README.
func (r *tour) follow(kind string) (text string) {
	text = readReadme(r.t)
	var shown, printed []string
	for part := range slices.Values(readmeParts(text, "```"+kind+"\n")) {
		shown = append(shown, part)
		if strings.HasPrefix(part, "$ ") {
			command := commandOf(part)
			part = command + r.run(strings.TrimSpace(strings.TrimPrefix(command, "$ ")))
		} else if r.prose != nil {
			r.prose(part)
		}
		printed = append(printed, part)
	}
	if *updateReadme {
		if err := os.WriteFile(readmeFile, []byte(strings.Join(printed, "")), 0o644); err != nil {
			r.t.Fatal(err)
		}
		return text
	}
	want, got := withoutChance(strings.Join(shown, "")), withoutChance(strings.Join(printed, ""))
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		r.t.Errorf("the tour prints something else (-README +run):\n%s", diff)
	}
	return text
}

// commandOf is the command at the start of a part. A backslash continues a line.
func commandOf(part string) string {
	command := ""
	for line := range strings.Lines(part) {
		command += line
		if !strings.HasSuffix(line, "\\\n") {
			break
		}
	}
	return command
}

// readmeParts splits the README before each command in the blocks that begin with fence,
// and behind its output.
func readmeParts(text, fence string) []string {
	var parts []string
	inside, fresh := false, true
	for line := range strings.Lines(text) {
		first := false // of a block
		switch {
		case strings.HasPrefix(line, "```"):
			first = !inside && line == fence
			inside = first
			fresh = true
		case inside && strings.HasPrefix(line, "$ "):
			fresh = true
		}
		if fresh {
			parts = append(parts, "")
		}
		parts[len(parts)-1] += line
		fresh = first
	}
	return parts
}

// withoutChance replaces what differs from run to run.
func withoutChance(text string) string {
	numbers := map[string]int{}
	text = regexp.MustCompile(`[A-Za-z0-9_-]{43}`).ReplaceAllStringFunc(text, func(kid string) string {
		if numbers[kid] == 0 {
			numbers[kid] = len(numbers) + 1
		}
		return fmt.Sprintf("KID%d", numbers[kid])
	})
	text = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(text, "TIME")
	text = regexp.MustCompile(`\b1\d{9}\b`).ReplaceAllString(text, "SECONDS")
	return regexp.MustCompile(`\b[A-Z2-7]{26}\b`).ReplaceAllString(text, "JTI")
}

// tour is one shell on an empty home, and the servers that it starts.
type tour struct {
	t       *testing.T
	dir     string
	env     []string
	shell   io.Writer
	out     *bufio.Reader
	real    map[string]string // what stands for an address in the README, by that address
	servers []*exec.Cmd
	prose   func(text string)            // gets what is between two commands; may be nil
	printed func(command, output string) // is called before the output is compared; may be nil
}

const (
	documentedURL   = "http://127.0.0.1:8080"
	documentedStore = "postgres:///jwksctl"
)

func newTour(t *testing.T) *tour {
	needTourTools(t)
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home,
		"GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + t.TempDir(), // for a test binary with -race or -cover
	}
	shell := exec.CommandContext(t.Context(), "bash")
	shell.Dir, shell.Env = dir, env
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.Stderr = shell.Stdout
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	r := &tour{t: t, dir: dir, env: env, shell: in, out: bufio.NewReader(out), real: map[string]string{}}
	t.Cleanup(func() {
		_ = in.Close()
		_ = shell.Wait() // its exit code is that of the last command
		for _, server := range r.servers {
			_ = server.Process.Kill() // the tour has killed some
			_ = server.Wait()
		}
	})
	return r
}

// run runs one command and returns what it prints, as a terminal would show it.
func (r *tour) run(command string) string {
	for documented, address := range r.real {
		command = strings.ReplaceAll(command, documented, address)
	}
	for i, server := range r.servers { // they are not jobs of this shell
		command = strings.ReplaceAll(command, fmt.Sprintf("%%%d", i+1), strconv.Itoa(server.Process.Pid))
	}
	if flags, ok := strings.CutPrefix(command, "jwksctl serve"); ok {
		r.serve(strings.Fields(strings.TrimSuffix(flags, "&")))
		return ""
	}
	const end = "-- end of the command --"
	if _, err := fmt.Fprintf(r.shell, "{ %s\n} </dev/null\necho '%s'\n", command, end); err != nil {
		r.t.Fatal(err)
	}
	var text strings.Builder
	for {
		line, err := r.out.ReadString('\n')
		if err != nil {
			r.t.Fatalf("%s: the shell ended: %v\n%s", command, err, &text)
		}
		before, found := strings.CutSuffix(line, end+"\n")
		text.WriteString(before)
		if found {
			if r.printed != nil {
				r.printed(command, text.String())
			}
			return r.documented(text.String())
		}
	}
}

// documented puts the README's addresses in place of the real ones.
func (r *tour) documented(text string) string {
	for documented, address := range r.real {
		text = strings.ReplaceAll(text, address, documented)
	}
	return text
}

// serve starts a server on a free port, whatever port the README gives it, and waits until
// it answers.
func (r *tour) serve(flags []string) {
	documented := documentedURL
	if i := slices.Index(flags, "--port"); i >= 0 {
		documented = "http://127.0.0.1:" + flags[i+1]
		flags = slices.Delete(flags, i, i+2)
	}
	ready := filepath.Join(r.dir, fmt.Sprintf("ready-%d", len(r.servers)))
	server := exec.CommandContext(r.t.Context(), "jwksctl", append([]string{"serve", "--port", "0", "--ready-file", ready}, flags...)...)
	log, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("log-%d", len(r.servers))))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	server.Dir, server.Env, server.Stderr = r.dir, r.env, log
	if err := server.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.servers = append(r.servers, server)
	for deadline := time.After(30 * time.Second); ; {
		if url, err := os.ReadFile(ready); err == nil {
			r.real[documented] = strings.TrimSpace(string(url))
			return
		}
		select {
		case <-deadline:
			said, _ := os.ReadFile(log.Name())
			r.t.Fatalf("the server is not ready; it said\n%s", said)
		case <-time.After(time.Millisecond):
		}
	}
}

// checkRoutes asks the server for each route that the README's table names. The token
// endpoint exists only with clients, and TestReadmeClients asks it.
func (r *tour) checkRoutes(text string) {
	routes := regexp.MustCompile("`(GET|POST) (/[^`]*)`").FindAllStringSubmatch(text, -1)
	if len(routes) < 9 {
		r.t.Errorf("the README names %d routes, want at least 9", len(routes))
	}
	for _, route := range routes {
		if route[2] == "/oauth2/token" {
			continue
		}
		request, err := http.NewRequestWithContext(r.t.Context(), route[1], r.real[documentedURL]+route[2], nil)
		if err != nil {
			r.t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			r.t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			r.t.Errorf("%s: %s", route[0], response.Status)
		}
	}
}
