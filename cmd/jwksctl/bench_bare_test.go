//go:build bench && linux

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// bareTask is the task of a bare server: to fetch an answer once and to give the
// same bytes to every request. With SignWith, it also makes a signature for each
// request, over an input as long as that of the token in the fetched answer.
type bareTask struct {
	Method, URL string
	SignWith    string
}

// serve returns the base URL of a bare server that runs until the process ends.
func (task bareTask) serve(ctx context.Context) (string, error) {
	header, body, err := fetch(ctx, task.Method, task.URL)
	if err != nil {
		return "", err
	}
	header.Del("Date") // net/http writes these two
	header.Del("Connection")
	sign := func() error { return nil }
	if task.SignWith != "" {
		_, input, err := tokenIn(body)
		if err != nil {
			return "", err
		}
		if sign, err = rawSigner(task.SignWith, input); err != nil {
			return "", err
		}
	}
	u, err := url.Parse(task.URL)
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc(task.Method+" "+u.Path, func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), header)
		if etag := header.Get("ETag"); etag != "" && r.Header.Get("If-None-Match") == etag {
			w.Header().Del("Content-Type")
			w.Header().Del("Content-Length")
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if err := sign(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(body) // the client may be gone
	})
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	// The timeouts are those of jwksctl, because net/http sets them for each request.
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), nil
}

// tokenIn returns the token in an answer of POST /auth, and the part of it that is
// signed.
func tokenIn(body []byte) (token string, input []byte, err error) {
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", nil, err
	}
	dot := strings.LastIndex(answer.Token, ".")
	if dot < 0 {
		return "", nil, fmt.Errorf("no token in %s", body)
	}
	return answer.Token, []byte(answer.Token[:dot]), nil
}

// rawSigner returns a function that signs the input with a key of its own, using
// the standard library alone.
func rawSigner(alg string, input []byte) (sign func() error, err error) {
	var key crypto.Signer
	switch alg {
	case "RS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	return func() error {
		if alg == "EdDSA" {
			_, err := key.Sign(rand.Reader, input, crypto.Hash(0))
			return err
		}
		digest := sha256.Sum256(input)
		_, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		return err
	}, err
}

// verifyTask is the task of raw verification: Count RS256 signatures of one input.
type verifyTask struct {
	Input []byte
	Count int
}

// run returns how long the standard library takes on all processors.
func (task verifyTask) run() (time.Duration, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256(task.Input)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return 0, err
	}
	var group errgroup.Group
	workers := runtime.NumCPU()
	start := time.Now()
	for worker := range workers {
		group.Go(func() error {
			for n := worker; n < task.Count; n += workers {
				digest := sha256.Sum256(task.Input)
				if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return time.Since(start), err
}
