//go:build race

package simulation

// raceEnabled says that everything takes ten times as long.
const raceEnabled = true
