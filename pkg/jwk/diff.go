package jwk

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Difference says what became of the keys of one JWK Set in another. A key is named by
// its kid, without one by its thumbprint, and if it is unusable by its place in the set
// ("#0").
type Difference struct {
	Added   []string     `json:"added"`
	Removed []string     `json:"removed"`
	Changed []ChangedKey `json:"changed"`
}

// ChangedKey is a key that both sets have with different members.
type ChangedKey struct {
	KeyID   string   `json:"kid"`
	Members []string `json:"members"` // the names of those that differ; their values are not shown
}

// Empty reports that the sets have the same keys. Their order does not matter.
func (d Difference) Empty() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

// Diff compares two JWK Sets, member by member, unknown members included.
func Diff(before, after []byte) (Difference, error) {
	old, err := keysByName(before)
	if err != nil {
		return Difference{}, fmt.Errorf("the first set: %v", err)
	}
	current, err := keysByName(after)
	if err != nil {
		return Difference{}, fmt.Errorf("the second set: %v", err)
	}
	d := Difference{[]string{}, []string{}, []ChangedKey{}}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if keys, ok := current[name]; !ok {
			d.Removed = append(d.Removed, name)
		} else if members := differingMembers(old[name], keys); len(members) > 0 {
			d.Changed = append(d.Changed, ChangedKey{name, members})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(current)) {
		if _, ok := old[name]; !ok {
			d.Added = append(d.Added, name)
		}
	}
	return d, nil
}

// keysByName reads the members of each key. Several keys may have one name.
func keysByName(set []byte) (map[string][]map[string]any, error) {
	values, err := readSet(set)
	if err != nil {
		return nil, err
	}
	found := map[string][]map[string]any{}
	for i, value := range values {
		var members map[string]any
		if err := json.Unmarshal(value, &members, jsontext.AllowDuplicateNames(true)); err != nil {
			members = map[string]any{"": string(value)} // not a JWK, but it can be compared
		}
		name, _ := members["kid"].(string)
		if name == "" {
			name = fmt.Sprintf("#%d", i)
			if key, err := Parse(value); err == nil {
				name = key.Thumbprint()
			}
		}
		found[name] = append(found[name], members)
	}
	return found, nil
}

// differingMembers lists the names of the members that differ. Most sets have one key of
// a name; if a set has several, they are compared in their order.
func differingMembers(before, after []map[string]any) []string {
	names := map[string]bool{}
	for i := range max(len(before), len(after)) {
		var old, current map[string]any
		if i < len(before) {
			old = before[i]
		}
		if i < len(after) {
			current = after[i]
		}
		for _, members := range []map[string]any{old, current} {
			for name := range members {
				if !reflect.DeepEqual(old[name], current[name]) {
					names[name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
