//go:build race

package keys_test

// raceEnabled says that everything takes ten times as long.
const raceEnabled = true
