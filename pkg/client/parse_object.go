package client

import (
	"fmt"
	"maps"
	"slices"

	"github.com/jwksctl/jwksctl/pkg/spelling"
)

// object is a map of the list while it is parsed. Each method takes one member out of it
// and reports a value that cannot be used; done reports the members that are left.
type object struct {
	place    string // such as "entry 2 (id billing): trust 1"
	members  map[string]any
	known    []string // the members that were asked for
	problems *[]error
}

func newObject(place string, members map[string]any, problems *[]error) *object {
	return &object{place: place, members: maps.Clone(members), problems: problems}
}

// fail reports a problem with a member, or with the whole object if name is "".
func (o *object) fail(name, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if name != "" {
		message = name + ": " + message
	}
	*o.problems = append(*o.problems, fmt.Errorf("%s: %s", o.place, message))
}

func (o *object) has(name string) bool {
	_, ok := o.members[name]
	return ok
}

func (o *object) take(name string) (value any, ok bool) {
	o.known = append(o.known, name)
	value, ok = o.members[name]
	delete(o.members, name)
	if ok && value == nil {
		o.fail(name, "has no value: give one, or remove it")
		return nil, false
	}
	return value, ok
}

// done reports every member that was not taken.
func (o *object) done() {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if near := spelling.Nearest(name, o.known); near != "" {
			o.fail(fmt.Sprintf("%.80q", name), "no such member; did you mean %s?", near)
			continue
		}
		slices.Sort(o.known)
		o.fail(fmt.Sprintf("%.80q", name), "no such member; the members are %s", join(o.known))
	}
}

// text takes a text that check accepts. It returns "" if there is none.
func (o *object) text(name string, check func(string) error) string {
	value, ok := o.take(name)
	if !ok {
		return ""
	}
	text, isText := value.(string)
	if !isText {
		o.fail(name, "want text, in quotes if it looks like something else")
		return ""
	}
	if err := check(text); err != nil {
		o.fail(name, "%v", err)
		return ""
	}
	return text
}

// required is text for a member that must be there.
func (o *object) required(name string, check func(string) error) string {
	if !o.has(name) {
		o.known = append(o.known, name)
		o.fail(name, "is missing")
		return ""
	}
	return o.text(name, check)
}

// list takes a list.
func (o *object) list(name string) []any {
	value, ok := o.take(name)
	if !ok {
		return nil
	}
	list, err := asList(value)
	if err != nil {
		o.fail(name, "%v", err)
	}
	return list
}

// texts takes a list of different texts that check accepts.
func (o *object) texts(name string, check func(string) error) []string {
	var texts []string
	for _, element := range o.list(name) {
		text, isText := element.(string)
		switch err := check(text); {
		case !isText:
			o.fail(name, "want a list that contains only text, in quotes if it looks like something else")
		case err != nil:
			o.fail(name, "%v", err)
		case slices.Contains(texts, text):
			o.fail(name, "%.80q is listed twice", text)
		default:
			texts = append(texts, text)
		}
	}
	return texts
}

// object takes a map.
func (o *object) object(name string) map[string]any {
	value, ok := o.take(name)
	if !ok {
		return nil
	}
	members, isMap := value.(map[string]any)
	if !isMap {
		o.fail(name, "want a map of names to values")
	}
	return members
}

func (o *object) bool(name string) bool {
	value, ok := o.take(name)
	if !ok {
		return false
	}
	set, isBool := value.(bool)
	if !isBool {
		o.fail(name, "want true or false")
	}
	return set
}

func (o *object) number(name string) (number float64, ok bool) {
	value, ok := o.take(name)
	if !ok {
		return 0, false
	}
	switch value := value.(type) {
	case int:
		return float64(value), true
	case int64:
		return float64(value), true
	case uint64:
		return float64(value), true
	case float64:
		return value, true
	}
	o.fail(name, "want a number")
	return 0, false
}

// asList accepts the types that the decoders of YAML, TOML and JSON have for a list.
func asList(value any) ([]any, error) {
	switch value := value.(type) {
	case nil:
		return nil, nil
	case []any:
		return value, nil
	case []map[string]any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = value[i]
		}
		return list, nil
	default:
		return nil, fmt.Errorf("want a list, even of one element")
	}
}
