package token

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// object is a JSON object as it is being written: header or claims. Its writer adds
// the members of his own in the order of their names, and the free ones take their
// places between them, so that the same members give the same JSON. No free member
// has a name that the writer adds too.
//
// It is used as append is: o = o.text(…).
type object struct {
	json []byte
	free []member // those that are not written yet
}

type member struct {
	name string
	json []byte
}

// newObject writes into the space of b, and beyond it if it must.
func newObject(b []byte, free map[string]any) (object, error) {
	members, err := sorted(free)
	return object{append(b[:0], '{'), members}, err
}

// sorted encodes members and puts them in the order of their names.
func sorted(free map[string]any) ([]member, error) {
	if len(free) == 0 {
		return nil, nil
	}
	members := make([]member, 0, len(free))
	for _, name := range slices.Sorted(maps.Keys(free)) {
		var data []byte
		var err error
		if text, ok := free[name].(string); ok {
			data = appendText(nil, text)
		} else if data, err = json.Marshal(free[name]); err != nil {
			return nil, fmt.Errorf("%q cannot be written as JSON: %v", name, err)
		}
		members = append(members, member{name, data})
	}
	return members, nil
}

// text adds a member.
func (o object) text(name, value string) object {
	o = o.start(name)
	o.json = appendText(o.json, value)
	return o
}

// texts adds a member.
func (o object) texts(name string, values []string) object {
	data, _ := json.Marshal(values) // text can always be encoded
	o = o.start(name)
	o.json = append(o.json, data...)
	return o
}

// number adds a member.
func (o object) number(name string, value int64) object {
	o = o.start(name)
	o.json = strconv.AppendInt(o.json, value, 10)
	return o
}

// start writes what stands before the value of a member of the writer's own, whose
// name is plain: the free members that come before it, and the name.
func (o object) start(name string) object {
	for len(o.free) > 0 && o.free[0].name < name {
		o = o.next()
	}
	o.json = append(comma(o.json), '"')
	o.json = append(append(o.json, name...), `":`...)
	return o
}

// end returns the whole object.
func (o object) end() []byte {
	for len(o.free) > 0 {
		o = o.next()
	}
	return append(o.json, '}')
}

// next adds the first of the free members that are left.
func (o object) next() object {
	first := o.free[0]
	b := append(appendText(comma(o.json), first.name), ':')
	return object{append(b, first.json...), o.free[1:]}
}

// comma parts a member from the one before.
func comma(b []byte) []byte {
	if len(b) > len("{") {
		b = append(b, ',')
	}
	return b
}

// appendText leaves to encoding/json what is not plain.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			data, _ := json.Marshal(text) // text can always be encoded
			return append(b, data...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}
