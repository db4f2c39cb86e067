// Package spelling finds the name that was probably meant.
package spelling

import "strings"

// Nearest returns the known name that is most similar to an unknown one, "" if none is
// similar enough. Case, and whether words are joined by - or _, do not matter.
func Nearest(name string, known []string) string {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	best, least := "", min(1+len(name)/3, 4)
	for _, k := range known {
		if d := distance(fold(name), fold(k)); d <= least {
			best, least = k, d-1
		}
	}
	return best
}

// distance is the Levenshtein distance: how many bytes to insert, delete or replace
// to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
