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

// maxFile is the largest settings file, in bytes: far more than settings can fill.
const maxFile = 64 << 10

// settingsFile decodes the settings file for viper. viper's own decoders lower-case
// keys, drop keys without a value, flatten maps, read only the first of several YAML
// documents and take the last of two JSON keys.
type settingsFile struct {
	source   Source
	problems []error // one for each key that cannot be used
}

// read loads the file at path into v.
func (f *settingsFile) read(v *viper.Viper, path string) error {
	format := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	if !slices.Contains([]string{"yaml", "yml", "toml", "json"}, format) {
		return errors.New("want a file whose name ends in .yaml, .yml, .toml or .json")
	}
	data, err := readRegular(path)
	if err != nil {
		return err
	}
	v.SetConfigType(format)
	err = v.ReadConfig(bytes.NewReader(data))
	if parse, ok := errors.AsType[viper.ConfigParseError](err); ok {
		return parse.Unwrap()
	}
	return err
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
	return data, nil
}

// reason removes the path from err, because the Source has it already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// Decoder makes f a viper.DecoderRegistry.
func (f *settingsFile) Decoder(format string) (viper.Decoder, error) {
	decode := decodeYAML
	switch format {
	case "json":
		decode = decodeJSON
	case "toml":
		decode = decodeTOML
	}
	return decoderFunc(func(data []byte, into map[string]any) error {
		if err := decode(data, into); err != nil {
			return err
		}
		f.checkKeys(into)
		return nil
	}), nil
}

type decoderFunc func(data []byte, into map[string]any) error

func (d decoderFunc) Decode(data []byte, into map[string]any) error { return d(data, into) }

// checkKeys removes keys that cannot be used from the map and adds them to f.problems.
func (f *settingsFile) checkKeys(into map[string]any) {
	var known []string
	for _, s := range table() {
		known = append(known, s.key)
	}
	for _, key := range slices.Sorted(maps.Keys(into)) {
		var err error
		section, nested := into[key].(map[string]any)
		switch {
		case nested:
			path := key
			if len(section) > 0 {
				path += "_" + slices.Min(slices.Collect(maps.Keys(section)))
			}
			err = fmt.Errorf("settings are not nested: write them in one flat map%s", didYouMean(path, known))
		case !slices.Contains(known, key):
			err = fmt.Errorf("no such setting%s", didYouMean(key, known))
		case into[key] == nil:
			err = errors.New("has no value: give one, or remove the key for the default")
		default:
			continue
		}
		delete(into, key)
		f.problems = append(f.problems, &Error{Key: key, Source: f.source, Err: err})
	}
}

func decodeYAML(data []byte, into map[string]any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	err := d.Decode(&into)
	if errors.Is(err, io.EOF) {
		return nil // empty, or nothing but comments
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
	if err := json.Unmarshal(data, &into); err != nil {
		return fmt.Errorf("want one JSON object without duplicate names: %v", err)
	}
	return nil
}
