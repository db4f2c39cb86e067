// Package browsertest shows in a real browser what web pages can and cannot get from
// jwksctl serve. It is a module of its own, so that the product does not depend on the
// library that drives the browser.
//
// The tests need Chromium. On a machine without it they are skipped, and in CI they fail.
package browsertest
