package config

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

const (
	hidden = "(hidden)"
	masked = "xxxxx" // as url.URL.Redacted has it
)

// Masked replaces the passwords in a store's URL: in its user part and among its
// parameters. Text that may contain one and cannot be parsed is replaced as a whole. A URL
// without a password is returned as it is.
//
// It does not use package net/url for the host, because a store may have several.
func Masked(store string) string {
	if strings.HasPrefix(store, "sqlite:") { // a path, which may contain anything
		return WithoutPasswords(store)
	}
	scheme, rest, ok := strings.Cut(store, "://")
	if !ok {
		if strings.ContainsAny(store, "=@") {
			return hidden
		}
		return store
	}
	end := strings.IndexAny(rest+"/", "/?#")
	authority, rest := rest[:end], rest[end:]
	userinfo, hosts := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		userinfo, hosts = authority[:at+1], authority[at+1:]
	}
	// A password in which / ? # is not escaped ends the authority too early.
	if strings.ContainsAny(rest, "@#") || !areHosts(hosts) {
		return hidden
	}
	if user, _, secret := strings.Cut(userinfo, ":"); secret {
		userinfo = user + ":" + masked + "@"
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	query, err := maskedQuery(query)
	if err != nil {
		return hidden
	}
	if hasQuery {
		path += "?" + query
	}
	return scheme + "://" + userinfo + hosts + path
}

// areHosts reports whether a text is a list of hosts, each with a port or without. Something
// else after a colon may be a password.
func areHosts(text string) bool {
	host := regexp.MustCompile(`^([^:\s]*|\[[0-9A-Fa-f:.%]+\])(:\d*)?$`)
	for h := range strings.SplitSeq(text, ",") {
		if !host.MatchString(h) {
			return false
		}
	}
	return true
}

// maskedQuery replaces the values of the parameters that are passwords.
func maskedQuery(query string) (string, error) {
	if strings.Contains(query, ";") {
		return "", errors.New("another reader may take it as a separator")
	}
	parameters := strings.Split(query, "&")
	for i, parameter := range parameters {
		rawName, rawValue, _ := strings.Cut(parameter, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return "", err
		}
		if _, err := url.QueryUnescape(rawValue); err != nil {
			return "", err
		}
		if name = strings.ToLower(name); strings.Contains(name, "password") && name != "password_file" {
			parameters[i] = rawName + "=" + masked
		}
	}
	return strings.Join(parameters, "&"), nil
}

// HasPassword reports whether a store's URL contains a password, or text that may be one.
func HasPassword(store string) bool { return Masked(store) != store }

// WithoutPasswords replaces what may be the password of a URL or of a connection string in
// a text.
func WithoutPasswords(text string) string {
	text = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@"']*):[^\s"']*@`).ReplaceAllString(text, "${1}:"+masked+"@")
	return regexp.MustCompile(`(?i)(password=)[^\s&"']+`).ReplaceAllString(text, "${1}"+masked)
}
