package browsertest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// timeout is how long a test waits for the browser or the server before it fails.
const timeout = 30 * time.Second

// browser is a Chromium without a window.
type browser struct{ ctx context.Context }

// startBrowser starts Chromium. Every name that ends in .test is the loopback address
// there, as the owner of a name can arrange it, and no other name exists, so that nothing
// leaves this machine.
func startBrowser(t *testing.T) browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "Chromium is not installed: what web pages can get was not tried: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // it does not work for root and in some containers; the pages are ours
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	)
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, stopBrowser := chromedp.NewContext(ctx)
	t.Cleanup(stopBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal("start Chromium: ", err)
	}
	return browser{ctx}
}

// missing ends a test that needs a program that is not installed.
func missing(t *testing.T, message string) {
	t.Helper()
	if runtime.GOOS == "linux" && os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// run opens a page and runs a script there, which returns a text or the promise of one.
func (b browser) run(t *testing.T, page, script string) string {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(b.ctx)
	t.Cleanup(closeTab) // not earlier, because a page that is closed cancels its requests
	ctx, cancel := context.WithTimeout(ctx, timeout)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(page)); err != nil {
		t.Fatalf("open %s: %v", page, err)
	}
	result, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("on %s, %s: %v", page, script, err)
	}
	return result
}

// issuer is a jwksctl serve.
type issuer struct{ port string }

// startIssuerWithClient starts an issuer with one client, and returns what the client has to
// send, as an object of JavaScript.
func startIssuerWithClient(t *testing.T) (_ issuer, fields string) {
	t.Helper()
	const secret = "0123456789abcdef0123456789abcdef0123456789abcdef"
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	text := fmt.Sprintf("auth: clients\nclients:\n- {id: page, audiences: [https://api.example], secret_sha256: [%x]}\n", sha256.Sum256([]byte(secret)))
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startIssuer(t, "--config", settings), "{grant_type: 'client_credentials', client_id: 'page', client_secret: '" + secret + "'}"
}

// startIssuer builds jwksctl and starts it. Its issuer is the name issuer.test.
func startIssuer(t *testing.T, flags ...string) issuer {
	t.Helper()
	dir := t.TempDir()
	binary, ready := filepath.Join(dir, "jwksctl"), filepath.Join(dir, "ready")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = ".." // the product's own module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	serve := exec.CommandContext(context.WithoutCancel(t.Context()), binary, append([]string{
		"serve", "--port", "0", "--ready-file", ready,
		"--issuer", "http://issuer.test", "--algorithm", "ES256", "--store", "memory:",
	}, flags...)...)
	serve.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir)
	serve.Stderr = t.Output()
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		_ = serve.Wait()
	})
	var url string
	waitFor(t, "the server to be ready", func() bool {
		text, err := os.ReadFile(ready)
		url = strings.TrimSpace(string(text))
		return err == nil
	})
	return issuer{port: url[strings.LastIndexByte(url, ':')+1:]}
}

// at is the URL of a path, by one of the names of the server.
func (i issuer) at(host, path string) string { return "http://" + host + ":" + i.port + path }

// counts returns how many POST requests to a path had each status, and how many tokens
// were issued in all.
func (i issuer) counts(t *testing.T, path string) (byStatus map[string]int, tokens int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.at("127.0.0.1", "/metrics"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	byStatus = map[string]int{}
	for line := range strings.Lines(string(body)) {
		series, text, _ := strings.Cut(strings.TrimSpace(line), "} ")
		value, _ := strconv.Atoi(text) // comments have no number
		if status, ok := strings.CutPrefix(series, fmt.Sprintf(`jwksctl_http_requests_total{method="POST",route=%q,status=`, path)); ok {
			byStatus[strings.Trim(status, `"`)] = value
		}
		if strings.HasPrefix(series, "jwksctl_tokens_total{") {
			tokens += value
		}
	}
	return byStatus, tokens
}

// pages is another server on this machine, with a page that has no content. It returns
// the port.
func pages(t *testing.T) (port string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>a page</title>")
	}))
	t.Cleanup(s.Close)
	return s.URL[strings.LastIndexByte(s.URL, ':')+1:]
}

// waitFor checks a condition until it holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(timeout)
	for tick := time.Tick(10 * time.Millisecond); !holds(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}
