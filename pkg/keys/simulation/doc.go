// Package simulation proves the guarantees of pkg/keys by running its code. It has
// tests only.
package simulation
