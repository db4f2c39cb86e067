package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// maxFile is the largest settings file, in bytes: enough for the keys of a thousand clients.
const maxFile = 1 << 20

// readFile reads the settings file at path into v. It does not use viper's reader, which
// lower-cases keys, drops keys without a value, flattens maps, reads only the first of
// several YAML documents and takes the last of two JSON keys. It returns the settings whose
// values are maps, because viper changes the case of the names in them.
func readFile(v *viper.Viper, path string, source Source) (nested map[string]any, problems []error) {
	decode, ok := map[string]func(data []byte, into map[string]any) error{
		".yaml": decodeYAML, ".yml": decodeYAML, ".toml": decodeTOML, ".json": decodeJSON,
	}[strings.ToLower(filepath.Ext(path))]
	if !ok {
		return nil, []error{&Error{Source: source, Err: errors.New("want a file whose name ends in .yaml, .yml, .toml or .json")}}
	}
	values := map[string]any{}
	data, err := readRegular(path)
	if err == nil {
		err = decode(data, values)
	}
	if err != nil {
		return nil, []error{&Error{Source: source, Err: err}}
	}
	problems = checkKeys(values, source)
	nested = map[string]any{}
	for _, s := range table() {
		if value, ok := values[s.key]; ok && s.inFileOnly() {
			nested[s.key] = value
			delete(values, s.key)
		}
	}
	if err := v.MergeConfigMap(values); err != nil {
		problems = append(problems, &Error{Source: source, Err: err})
	}
	return nested, problems
}

// readRegular reads a regular file. Others, such as a pipe, could block or never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("larger than %d bytes, so it cannot be a settings file", maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, reason(err)
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, errors.New("is UTF-16, not UTF-8: convert it, with iconv -f UTF-16 -t UTF-8")
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil // some editors begin a file with a byte order mark
}

// reason removes the path from err, because the Source has it already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// checkKeys removes the keys that cannot be used, and returns a problem for each.
func checkKeys(values map[string]any, source Source) (problems []error) {
	var known, lists []string
	for _, s := range table() {
		known = append(known, s.key)
		if s.inFileOnly() {
			lists = append(lists, s.key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		var err error
		section, nested := values[key].(map[string]any)
		switch {
		case nested && slices.Contains(lists, key):
			err = errors.New("want a list of maps, not one map")
		case nested:
			path := key
			if len(section) > 0 {
				path += "_" + slices.Min(slices.Collect(maps.Keys(section)))
			}
			err = fmt.Errorf("settings are not nested: write them in one flat map%s", didYouMean(path, known))
		case !slices.Contains(known, key):
			err = fmt.Errorf("no such setting%s", didYouMean(key, known))
		case values[key] == nil:
			err = errors.New("has no value: give one, or remove the key for the default")
		default:
			continue
		}
		delete(values, key)
		problems = append(problems, &Error{Key: key, Source: source, Err: err})
	}
	return problems
}

func decodeYAML(data []byte, into map[string]any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err := d.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil // empty, or nothing but comments
	}
	if err == nil {
		err = document.Decode(&into)
	}
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		return errors.New("yaml: " + strings.Join(wrong.Errors, "; "))
	}
	if err != nil {
		return err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("yaml: want a single document")
	}
	return checkPlain(document.Content[0])
}

// checkPlain refuses what YAML reads in another way than most people do: 010 is 8, and a
// merged map may give a key a second value.
func checkPlain(node *yaml.Node) error {
	switch tag := node.ShortTag(); {
	case node.Kind != yaml.ScalarNode:
	case tag == "!!merge":
		return fmt.Errorf("yaml: line %d: <<: maps are not merged: write each key once", node.Line)
	case (tag == "!!int" || tag == "!!float") && !isDecimal(node.Value):
		return fmt.Errorf("yaml: line %d: want decimal digits without leading zeros%s", node.Line, notThis(node.Value))
	}
	for _, child := range node.Content {
		if err := checkPlain(child); err != nil {
			return err
		}
	}
	return nil
}

func decodeTOML(data []byte, into map[string]any) error {
	d, err := viper.NewCodecRegistry().Decoder("toml")
	if err != nil {
		return err
	}
	err = d.Decode(data, into)
	type positioned interface {
		error
		Position() (row, column int)
	}
	if at, ok := errors.AsType[positioned](err); ok {
		row, _ := at.Position()
		return fmt.Errorf("line %d: %v", row, err)
	}
	return err
}

func decodeJSON(data []byte, into map[string]any) error {
	const want = "want one JSON object without duplicate names"
	if err := json.Unmarshal(data, &into); err != nil {
		return fmt.Errorf(want+": %v", err)
	}
	if into == nil {
		return errors.New(want + ", not null")
	}
	return nil
}
