package main

import (
	"os"
	"os/signal"
	"syscall"
)

// surviveSignals keeps two signals from ending the process until it exits, so that a
// server that has drained exits with 0. SIGPIPE comes with a line on standard error if its
// reader is gone: the line is lost, and the server goes on. Each SIGHUP is a value in
// hangups, and asks the server to reload what it can.
//
// Other commands keep the defaults, so that they end with the reader of their results,
// such as head, and with their terminal.
func surviveSignals() (hangups <-chan os.Signal) {
	pipes := make(chan os.Signal, 1) // nobody reads it
	signal.Notify(pipes, syscall.SIGPIPE)
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	return hups
}
