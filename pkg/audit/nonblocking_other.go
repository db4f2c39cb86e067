//go:build !unix

package audit

const nonBlocking = 0
