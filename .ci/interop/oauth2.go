// Command oauth2 has golang.org/x/oauth2/clientcredentials get tokens from jwksctl in each way
// that a client can authenticate.
//
//	oauth2 JWKSCTL DIR ISSUER
//
// The arguments and the output are those of clients.mjs.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const audience = "https://api.example"

// way is how a client authenticates, rightly or wrongly.
type way struct {
	name         string
	style        oauth2.AuthStyle
	right, wrong clientcredentials.Config
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(binary, dir, issuer string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ways, err := prepare(ctx, binary, dir, issuer)
	if err != nil {
		return err
	}
	for _, w := range ways {
		for _, c := range []*clientcredentials.Config{&w.right, &w.wrong} {
			c.TokenURL = issuer + "/oauth2/token"
			c.AuthStyle = w.style
			c.Scopes = []string{"read"}
		}
		report(w.name, "token", getsToken(ctx, w.right, binary, issuer))
		report(w.name, "wrong", isRefused(ctx, w.wrong))
	}
	return nil
}

// prepare returns the ways. An assertion can be used once, so each has its own.
func prepare(ctx context.Context, binary, dir, issuer string) ([]way, error) {
	data, err := os.ReadFile(filepath.Join(dir, "secret"))
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(data))
	resource := url.Values{"resource": {audience}}
	right := clientcredentials.Config{ClientID: "secret", ClientSecret: secret, EndpointParams: resource}
	wrong := clientcredentials.Config{ClientID: "secret", ClientSecret: secret + "x", EndpointParams: resource}
	mine, err := signed(ctx, binary, dir, "service", issuer)
	if err != nil {
		return nil, err
	}
	foreign, err := signed(ctx, binary, dir, "platform", issuer)
	return []way{
		{"basic", oauth2.AuthStyleInHeader, right, wrong},
		{"post", oauth2.AuthStyleInParams, right, wrong},
		{"detected", oauth2.AuthStyleAutoDetect, right, wrong},
		{"key", oauth2.AuthStyleInParams, mine, foreign},
	}, err
}

// signed is the client "key" with an assertion that a key of this server signs.
func signed(ctx context.Context, binary, dir, server, issuer string) (clientcredentials.Config, error) {
	store := "sqlite:" + filepath.Join(dir, server+".db")
	assertion, err := exec.CommandContext(ctx, binary, "assertion", "--store", store, "--client", "key", "--aud", issuer).Output()
	return clientcredentials.Config{ClientID: "key", EndpointParams: url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {strings.TrimSpace(string(assertion))},
	}}, err
}

func getsToken(ctx context.Context, c clientcredentials.Config, binary, issuer string) error {
	token, err := ask(ctx, c)
	if err != nil {
		return err
	}
	if token.TokenType != "Bearer" || token.Expiry.IsZero() || token.Extra("scope") != "read" {
		return fmt.Errorf("type %s, expiry %s, scope %v", token.TokenType, token.Expiry, token.Extra("scope"))
	}
	verify := exec.CommandContext(ctx, binary, "verify", "--discover", issuer, "--aud", audience,
		"--sub", c.ClientID, "--scope", "read", "--typ", "at+jwt", token.AccessToken)
	if out, err := verify.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// ask waits as long as the server demands: wrong credentials slow an address down.
func ask(ctx context.Context, c clientcredentials.Config) (*oauth2.Token, error) {
	for {
		token, err := c.Token(ctx)
		refused, ok := errors.AsType[*oauth2.RetrieveError](err)
		if !ok || refused.Response.StatusCode != http.StatusTooManyRequests {
			return token, err
		}
		seconds, err := strconv.Atoi(refused.Response.Header.Get("Retry-After"))
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}

func isRefused(ctx context.Context, c clientcredentials.Config) error {
	_, err := ask(ctx, c)
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("got %v, want an error of the token endpoint", err)
	}
	if refused.Response.StatusCode != http.StatusUnauthorized || refused.ErrorCode != "invalid_client" {
		return fmt.Errorf("status %d, error %s", refused.Response.StatusCode, refused.ErrorCode)
	}
	return nil
}

func report(way, name string, err error) {
	line := []string{"ok", "oauth2", way, name}
	if err != nil {
		line = append([]string{"FAIL"}, line[1:]...)
		line = append(line, strings.Join(strings.Fields(err.Error()), " "))
	}
	fmt.Println(strings.Join(line, "\t"))
}
